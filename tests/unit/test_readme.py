"""README.md and README.pt-BR.md: the same commands and links, and both short enough to be read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENGLISH, PORTUGUESE = (ROOT / name for name in ("README.md", "README.pt-BR.md"))


def code(page: Path) -> list[str]:
    """The lines of code, indented or fenced, without their comments, which are prose."""
    blocks = re.findall(r"^```\w*\n(?:.*\n)*?```$|^    .*$", page.read_text(), re.MULTILINE)
    return [re.sub(r" {2,}# .*", "", line.strip()) for block in blocks for line in block.splitlines()]


def links(page: Path) -> list[str]:
    return re.findall(r"\]\(([^)]+)\)", page.read_text())


def test_both_have_the_same_commands_and_output() -> None:
    assert code(PORTUGUESE) == code(ENGLISH)


def test_both_have_the_same_links() -> None:
    others = {ENGLISH: "README.pt-BR.md", PORTUGUESE: "README.md"}
    english, portuguese = ([link for link in links(page) if link != others[page]] for page in (ENGLISH, PORTUGUESE))
    assert sorted(set(english)) == sorted(set(portuguese))


def test_both_have_the_same_sections() -> None:
    english, portuguese = (re.findall(r"^#+(?= )", page.read_text(), re.MULTILINE) for page in (ENGLISH, PORTUGUESE))
    assert portuguese == english


@pytest.mark.parametrize("page", [ENGLISH, PORTUGUESE], ids=lambda page: page.name)
def test_it_begins_with_a_clone(page: Path) -> None:
    commands = [line for line in code(page) if re.match(r"git |cd |make ", line)]
    assert [line.split()[0] for line in commands[:3]] == ["git", "cd", "make"]


@pytest.mark.parametrize("page", [ENGLISH, PORTUGUESE], ids=lambda page: page.name)
def test_it_is_short(page: Path) -> None:
    assert len(page.read_text().splitlines()) <= 160
