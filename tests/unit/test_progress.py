"""How far a replay is: a bar that fits a narrow terminal, or lines in a pipe; errors in between are printed."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import Sequence

import pytest
from rich.console import Console
from rich.progress import ProgressColumn

from tests.support.waiting import one_turn
from traksense_ingest.ops import progress
from traksense_ingest.ops.progress import Reporter, import_columns, replay_columns

TOTAL = 123_456


class Replay:
    """A replay that has done more at each query; `is_seen` is set after that many queries."""

    def __init__(self, queries: int) -> None:
        self.is_seen = asyncio.Event()
        self._left = queries
        self._done = 0

    def done(self) -> int:
        self._left -= 1
        if self._left <= 0:
            self.is_seen.set()
        self._done += 20_000
        return self._done


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "REFRESH_EVERY_S", 0)
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0)


async def shown(width: int, *, terminal: bool, columns: Sequence[ProgressColumn] = ()) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None, highlight=False)
    replay, reporter = Replay(3), Reporter(console, TOTAL, columns)
    async with reporter.watching(replay.done), asyncio.timeout(60):
        reporter.say("4711: not replayed: [red]why[/red]")
        await replay.is_seen.wait()
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(("verb", "columns"), [("replaying", replay_columns()), ("importing", import_columns())])
@pytest.mark.parametrize("width", [60, 80])
async def test_the_bar_fits_and_has_both_figures(width: int, verb: str, columns: Sequence[ProgressColumn]) -> None:
    said = await shown(width, terminal=True, columns=columns)
    lines = [re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", line) for line in re.split(r"[\r\n]", said)]
    bars = [line for line in lines if line.startswith(verb)]
    assert re.search(rf"^{verb} ━+[╸╺ ━]* +80000/{TOTAL} [-0-9]:[-0-9:]+$", bars[-1]), bars[-1]
    assert max(map(len, bars)) <= width
    assert "4711: not replayed: [red]why[/red]" in lines, "a line above it"
    assert said.endswith("\x1b[?25h"), "the cursor is shown again"


async def test_a_pipe_gets_lines_and_no_bar() -> None:
    said = await shown(60, terminal=False)
    assert said.splitlines()[:3] == [
        "4711: not replayed: [red]why[/red]",
        f"20000 of {TOTAL} done",
        f"40000 of {TOTAL} done",
    ]
    assert "\x1b" not in said


class Broken:
    """A replay whose progress can't be queried."""

    def __init__(self) -> None:
        self._is_queried = asyncio.Event()

    def done(self) -> int:
        self._is_queried.set()
        raise ZeroDivisionError

    async def run(self, *, terminal: bool, error: Exception | None = None) -> None:
        reporter = Reporter(Console(file=io.StringIO(), force_terminal=terminal), TOTAL, replay_columns())
        async with asyncio.timeout(60), reporter.watching(self.done):
            await self._is_queried.wait()
            if error:
                raise error


async def test_nothing_to_replay_is_no_bar() -> None:
    console = Console(file=io.StringIO(), force_terminal=True)
    async with Reporter(console, 0, replay_columns()).watching(lambda: 0):
        await one_turn()
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == ""


@pytest.mark.parametrize("terminal", [True, False])
async def test_what_goes_wrong_in_it_is_raised_once_the_replay_is_over(*, terminal: bool) -> None:
    with pytest.raises(ZeroDivisionError):
        await Broken().run(terminal=terminal)


async def test_what_goes_wrong_in_the_replay_comes_first() -> None:
    with pytest.raises(ConnectionError):
        await Broken().run(terminal=True, error=ConnectionError())
