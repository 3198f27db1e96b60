"""How far a replay is: a bar on a terminal, else a line every few seconds; both on stderr."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LOOK_EVERY_S, LINE_EVERY_S = 0.2, 5.0


class Reporter:
    """Says lines above the bar, and shows how many are done."""

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._total = total

    def say(self, line: str) -> None:
        """One line on stderr."""
        self._console.print(line, markup=False, soft_wrap=True)

    @asynccontextmanager
    async def watching(self, done: Callable[[], int]) -> AsyncIterator[None]:
        """Look at `done` for as long as the block. Whatever is wrong with the looking holds up nothing, and is raised
        when the block has ended well."""
        if not self._total:
            yield
            return
        show = self._bar if self._console.is_terminal else self._lines
        watching = asyncio.create_task(show(done))
        try:
            yield
        finally:
            watching.cancel()
            (ended,) = await asyncio.gather(watching, return_exceptions=True)
        if isinstance(ended, Exception):
            raise ended

    async def _bar(self, done: Callable[[], int]) -> None:
        columns = TextColumn("replaying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        with Progress(*columns, console=self._console) as progress:
            task = progress.add_task("replaying", total=self._total)
            try:
                while True:
                    progress.update(task, completed=done())
                    await asyncio.sleep(LOOK_EVERY_S)
            finally:
                progress.update(task, completed=done())

    async def _lines(self, done: Callable[[], int]) -> None:
        while True:
            await asyncio.sleep(LINE_EVERY_S)
            self.say(f"{done()} of {self._total} done")


def reporter(total: int) -> Reporter:
    """For so many messages."""
    return Reporter(Console(stderr=True, highlight=False), total)
