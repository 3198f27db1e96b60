"""How far a command is: a bar on a terminal, else a line every few seconds; both on stderr."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

REFRESH_EVERY_S, LINE_EVERY_S = 0.2, 5.0

Count = Callable[[], int]


def replay_columns() -> Sequence[ProgressColumn]:
    """`replaying ━━━ 80/200 0:00:12`, the time that is left."""
    return TextColumn("replaying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()


def import_columns() -> Sequence[ProgressColumn]:
    """The same of an import."""
    return TextColumn("importing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()


def publish_columns() -> Sequence[ProgressColumn]:
    """`published ━━━ 80/200 messages 0:00:12`, the time since the start."""
    return TextColumn("published"), BarColumn(), MofNCompleteColumn(), TextColumn("messages"), TimeElapsedColumn()


class Reporter:
    """Prints lines on stderr, and shows below them how much is done."""

    def __init__(
        self, console: Console, total: int | None, columns: Sequence[ProgressColumn], *, unit: str = ""
    ) -> None:
        """Without a `total` the end is unknown, and the bar only shows that work goes on."""
        self._unit = unit  # in lines, behind the total
        self._console = console
        self._total = total
        self._columns = columns

    def say(self, line: str) -> None:
        """One line, above the bar."""
        self._console.print(line, markup=False, soft_wrap=True)

    @asynccontextmanager
    async def watching(self, done: Count) -> AsyncIterator[None]:
        """A bar on a terminal, else lines, for as long as the block; nothing if there is nothing to do.

        An error of `done` does not disturb the block: it is raised at its end.
        """
        if self._total == 0:
            yield
            return
        async with _beside(self._bar(done) if self._console.is_terminal else self._lines(done)):
            yield

    @asynccontextmanager
    async def bar(self, done: Count) -> AsyncIterator[None]:
        """A bar for as long as the block."""
        async with _beside(self._bar(done)):
            yield

    async def _bar(self, done: Count) -> None:
        with Progress(*self._columns, console=self._console) as progress:
            task = progress.add_task("", total=self._total)
            try:
                while True:
                    progress.update(task, completed=done())
                    await asyncio.sleep(REFRESH_EVERY_S)
            finally:
                progress.update(task, completed=done())

    async def _lines(self, done: Count) -> None:
        while True:
            await asyncio.sleep(LINE_EVERY_S)
            self.say(f"{done()} of {self._total}{self._unit} done")


def on_stderr(total: int | None, columns: Sequence[ProgressColumn]) -> Reporter:
    """For `total` messages, on this process's stderr."""
    return Reporter(Console(stderr=True, highlight=False), total, columns)


@asynccontextmanager
async def _beside(watch: Awaitable[None]) -> AsyncIterator[None]:
    """Run it until the block ends; raises its error if the block itself succeeded."""
    watching = asyncio.ensure_future(watch)
    try:
        yield
    finally:
        watching.cancel()
        (error,) = await asyncio.gather(watching, return_exceptions=True)
    if isinstance(error, Exception):
        raise error
