"""docs/mapping-language.md: each example is a file, or the keys of a route, without faults; each key is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.mappings import mapping, route
from traksense_ingest.shared.mapping.decoding import FieldType, FormatName
from traksense_ingest.shared.mapping.points import TimeFormat
from traksense_ingest.shared.mapping.read import decode, modifiers, points, tests, values
from traksense_ingest.shared.mapping.read import mapping as files
from traksense_ingest.shared.mapping.read import route as routes
from traksense_ingest.shared.mapping.text import FilterName

PAGE = (Path(__file__).parents[2] / "docs" / "mapping-language.md").read_text()
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
SHOWN = " ".join(EXAMPLES) + " ".join(re.findall(r"`[^`]*`", PAGE))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text.splitlines()[-1].strip()[:40])
def test_examples_have_no_faults(example: str) -> None:
    assert mapping(example) if example.startswith("version:") else route(example)


KEYS = {
    *files.KEYS,
    *routes.ROUTE_KEYS,
    *modifiers.VALUE_KEYS,
    *values.TIME_KEYS,
    *values.TYPES,
    *points.KEYS,
    *tests.KEYS,
    *decode.KEYS,
    *FilterName,
    *FormatName,
    *(form for form in TimeFormat if form is not TimeFormat.DEFAULT),
    *(kind for kind in FieldType if kind[0] not in "ui"),
}


@pytest.mark.parametrize("key", sorted(map(str, KEYS)))
def test_each_key_is_on_the_page(key: str) -> None:
    assert re.search(rf"\b{re.escape(key)}\b", SHOWN)
