"""The progress bar on stderr, and a way to say something above it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from ops.simulate.tally import Tally

LOOK_EVERY_S = 0.2


@asynccontextmanager
async def bar(total: int | None, tally: Tally, is_shown: bool) -> AsyncIterator[Callable[[str], None]]:
    """Show how much of `total` messages is published (None: no end); yields what prints a line to stderr."""
    console = Console(stderr=True, highlight=False)

    def say(line: str) -> None:
        console.print(line, markup=False, soft_wrap=True)

    if not is_shown:
        yield say
        return
    columns = TextColumn("published"), BarColumn(), MofNCompleteColumn(), TextColumn("messages"), TimeElapsedColumn()
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("published", total=total)
        watching = asyncio.create_task(_watch(progress, task, tally))
        try:
            yield say
        finally:
            watching.cancel()
            progress.update(task, completed=tally.published)


async def _watch(progress: Progress, task: TaskID, tally: Tally) -> None:
    while True:
        progress.update(task, completed=tally.published)
        await asyncio.sleep(LOOK_EVERY_S)
