"""`status` once, or again and again: on a terminal in place, in a pipe one block, or one JSON object a line."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live

from ops.status.look import Looker
from ops.status.report import Status
from ops.status.screen import PIPE, screen
from shared.config import Settings
from shared.service import EXIT_OK, unless_stopped

Show = Callable[[Status], None]


async def show_once(
    settings: Settings, sample_s: float, patience_s: float, skipped: Collection[str], *, as_json: bool
) -> int:
    """Returns the exit code."""
    async with Looker(settings, patience_s, skipped) as looker:
        status = await looker.look(sample_s)
        (_json_line if as_json else _block)(status)
        await looker.remember()
        return status.exit_code


async def show_always(
    settings: Settings, period_s: float, patience_s: float, skipped: Collection[str], *, as_json: bool
) -> int:
    """Until Ctrl-C or SIGTERM; returns the exit code, 0."""
    stop = asyncio.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    async with Looker(settings, patience_s, skipped) as looker:
        with _shown(as_json) as show:
            while not stop.is_set():
                if status := await unless_stopped(stop, looker.look(min(period_s, 1.0))):
                    show(status)
                    await unless_stopped(stop, looker.remember())
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), period_s)
    return EXIT_OK


@contextmanager
def _shown(as_json: bool) -> Iterator[Show]:
    console = Console(highlight=False)
    if as_json:
        yield _json_line
    elif console.is_terminal:
        with Live(console=console, auto_refresh=False) as live:
            yield lambda status: live.update(screen(status, *console.size), refresh=True)
    else:
        yield _dated_block


def _json_line(status: Status) -> None:
    print(status.as_json(), flush=True)


def _dated_block(status: Status) -> None:
    print(f"{status.at:%Y-%m-%d %H:%M:%S} UTC")
    _block(status)
    print(flush=True)


def _block(status: Status) -> None:
    console = Console(highlight=False)
    if console.is_terminal:
        console.print(screen(status, *console.size))
    else:
        print(plain(status))


def plain(status: Status) -> str:
    """For a pipe: no colours, no line is wrapped, and none is missing."""
    console = Console(highlight=False, width=PIPE, color_system=None)
    with console.capture() as captured:
        console.print(screen(status, PIPE, PIPE))
    return "\n".join(line.rstrip() for line in captured.get().splitlines())
