"""docs/operations.md: its sums are right, and processes say of themselves what it says."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterator

import pytest

from tests.support.handbook import DOCS
from traksense_ingest.shared import config
from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.metrics import WriterMetrics
from traksense_ingest.shared.runtime.log import FIELDS, JsonFormatter
from traksense_ingest.writer.service import LANES, health_of

PAGE = (DOCS / "operations.md").read_text()
SIZE = PAGE.partition("\n## Size\n")[2].partition("\n## Scale\n")[0]
POINTS = 10
FOLDERS = ("receiver", "shared", "writer")
_GIVEN = re.compile(r"(?:extra|about) ?= ?(\{[^{}]*\})")  # what log calls are given as `extra`
CAP = Settings.model_fields["ingest_queue_max"].default


def bytes_of(what: str) -> int:
    found = re.search(rf"^\| {re.escape(what)}[^|]*\| (\d+) \|$", SIZE, re.MULTILINE)
    assert found, what
    return int(found[1])


ENTRY, FILE, SETTLED, ROW, LOG = map(bytes_of, ("entry", "the same", "settling", "row of", "write-ahead log"))


def rates() -> Iterator[tuple[int, list[float]]]:
    """Messages/s, and what the table says for it, without units."""
    for line in re.findall(r"^\| [\d ]+ \| [\d ]+ s \|.*$", SIZE, re.MULTILINE):
        rate, *cells = (float(re.sub(r"[^\d.]", "", cell)) for cell in line.strip("| ").split("|"))
        yield int(rate), cells


@pytest.mark.parametrize(("rate", "cells"), list(rates()))
def test_the_table_is_what_the_formulas_give(rate: int, cells: list[float]) -> None:
    hour, rows = rate * 3600, rate * POINTS * 86_400
    expected = (CAP / rate, hour, hour * ENTRY / 1e9, hour * FILE * 3 / 1e9, rows / 1e9, rows * ROW / 1e9)
    assert cells == pytest.approx([*expected, rate * POINTS * LOG / 1e6], rel=0.03)


def test_the_table_is_for_three_rates() -> None:
    assert [rate for rate, _ in rates()] == [100, 1_000, 10_000]


def test_the_formulas_quote_the_bytes_of_the_table() -> None:
    formulas = dict(re.findall(r"^    (\S.*?) += (.*)$", SIZE, re.MULTILINE))
    assert formulas["Redis's memory"].endswith(f"× {ENTRY}")
    assert formulas["its append-only file"].endswith(f"× {FILE} × 3")
    assert formulas["ts_measure a day"].endswith(f"× {ROW}")
    assert formulas["write-ahead log a second"].endswith(f"× {LOG}")
    assert f"at {FILE + SETTLED} bytes a message, every {64 * 2**20 // (FILE + SETTLED) // 1000} 000 messages" in SIZE


def test_the_pool_is_as_large_as_it_says() -> None:
    assert f"set `{LANES} × INGEST_SHARDS" in PAGE
    assert f"`DB_POOL_MAX` ({Settings.model_fields['db_pool_max'].default}," in PAGE


def test_a_log_line_has_the_documented_fields() -> None:
    try:
        raise ValueError
    except ValueError:
        record = logging.LogRecord("shared", logging.ERROR, "", 0, "said", (), sys.exc_info())
    vars(record).update({name: name for name in FIELDS})
    documented = PAGE.partition("\n## Logs\n")[2].partition("\n## Health\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", documented, re.MULTILINE) == list(json.loads(JsonFormatter().format(record)))


def test_a_log_line_has_no_field_that_is_not_about_it() -> None:
    record = logging.LogRecord("shared", logging.INFO, "", 0, "text", (), None)
    assert list(json.loads(JsonFormatter().format(record))) == ["ts", "level", "logger", "message"]


def test_fields_of_log_lines_have_documented_names() -> None:
    sources = [path.read_text() for folder in FOLDERS for path in (DOCS.parent / folder).rglob("*.py")]
    given = {name for text in sources for name in re.findall(r'"(\w+)": ', "".join(_GIVEN.findall(text)))}
    assert given <= set(FIELDS)
    assert {"component", "stream", "count", "sqlstate"} <= given


def test_health_says_what_the_page_shows() -> None:
    (shown,) = (json.loads(line) for line in re.findall(r'^    (\{"alive".*\})$', PAGE, re.MULTILINE))
    health = health_of(config.load(), WriterMetrics())
    health.components["redis"].up()
    assert health.report() == shown
