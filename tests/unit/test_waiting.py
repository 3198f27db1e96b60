"""tests/support/waiting.py: nothing else sleeps, so that no test depends on how fast the machine is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.waiting import eventually, eventually_blocking

TESTS = Path(__file__).parents[1]
CHAOS = TESTS / "chaos"  # its faults last for a time
SLEEP = re.compile(r"\b(?:asyncio|time)\.sleep\((?!0\))|from (?:asyncio|time) import .*\bsleep\b")


def test_nothing_else_sleeps() -> None:
    paths = [path for path in TESTS.rglob("*.py") if CHAOS not in path.parents and "node_modules" not in path.parts]
    assert [path.name for path in paths if SLEEP.search(path.read_text())] == ["waiting.py"]


async def test_what_becomes_true_is_returned() -> None:
    values = iter([0, None, "", 7])
    assert await eventually(lambda: next(values)) == 7


async def test_what_does_not_become_true_is_named() -> None:
    with pytest.raises(AssertionError, match=r"not within 0 s: a row \(0\)"):
        await eventually(lambda: 0, "a row", timeout=0)
    with pytest.raises(AssertionError, match=r"not within 0 s: .*lambda: False"):
        eventually_blocking(lambda: False, timeout=0)
