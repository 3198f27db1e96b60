"""docs/architecture.md: each path that it names exists, and its diagram has every folder."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.support.handbook import DOCS

ROOT = DOCS.parent
PAGE = (DOCS / "architecture.md").read_text()
DIAGRAM = re.findall(r"^```text\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[0]
STAGES = ("receiver", "writer", "shared", "ops")  # the folders that are drawn with what is in them


def drawn() -> Iterator[str]:
    """The paths of the diagram, in which a name's indent says how deep it is."""
    above: list[str] = []
    for indent, name in re.findall(r"^( *)(\S+)", DIAGRAM, re.MULTILINE):
        above = [*above[: len(indent) // 4], name.rstrip("/")]
        yield "/".join(above)


@pytest.mark.parametrize("path", list(drawn()))
def test_what_the_diagram_shows_exists(path: str) -> None:
    assert (ROOT / path).exists()


def test_the_diagram_shows_every_folder_of_code() -> None:
    folders = {path.parent for stage in STAGES for path in (ROOT / stage).rglob("__init__.py")}
    assert {path for path in drawn() if (ROOT / path).is_dir()} >= {
        str(folder.relative_to(ROOT)) for folder in folders if len(folder.relative_to(ROOT).parts) <= 2
    }
