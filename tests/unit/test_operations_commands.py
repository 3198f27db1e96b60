"""Every command that the documentation tells to type is one that there is, called where it can work."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.handbook import DOCS
from tests.unit.test_help import parse
from traksense_ingest.ops.cli import main

ROOT = DOCS.parent
PAGES = [*sorted(ROOT.glob("README*.md")), *sorted(DOCS.rglob("*.md"))]
COMPOSE = "docker compose run --rm ops"
OURS = re.compile(rf"(?:traksense-ingest|{COMPOSE}) +([a-z](?:'[^'\n]*'|[^'`#|>)…&\n])*)")


def commands(page: Path) -> Iterator[str]:
    """What follows the name of our program, or of compose's `ops`, up to a comment, a pipe or the end of the code."""
    text = page.read_text().replace("\\\n", " ")
    yield from map(_without_quotes_around, OURS.findall(text))


def _without_quotes_around(command: str) -> str:
    """Where the command itself is in quotes, its end has one more."""
    return command.strip(" \"'" if command.count("'") % 2 or command.count('"') % 2 else " ")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_command_of_ours_is_one(page: Path) -> None:
    for command in commands(page):
        words = shlex.split(re.sub(r"\bID\b", "1", command))
        assert parse(words).command_path if words[1:] else words[0] in main.commands


def test_commands_are_found() -> None:
    found = list(commands(DOCS / "operations.md"))
    assert {"migrate", "validate", "status --accept-loss", "dlq replay --reason parse_error --dry-run"} <= {*found}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_command_is_run_in_a_service_which_lacks_what_it_needs(page: Path) -> None:
    assert not re.findall(r"compose exec [^\n`]*traksense-ingest", page.read_text())
