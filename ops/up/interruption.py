"""Ctrl-C and SIGTERM, noticed where nothing is half done."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Coroutine
from types import FrameType
from typing import Any, Self, TypeVar

NOTICED_WITHIN_S = 0.05

T = TypeVar("T")


class Interruption:
    """Remembers the signals while it is entered; `check`, `sleep` and `run` raise KeyboardInterrupt for them.

    Raised by the handler itself, it would fall between any two instructions: into a finalizer, where Python drops it,
    or between taking the lock of a child process and the block that gives it back: nobody can wait for that one then.
    """

    def __init__(self) -> None:
        self._came = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Raise KeyboardInterrupt when one came."""
        if self._came:
            raise KeyboardInterrupt

    def sleep(self, seconds: float) -> None:
        """Like time.sleep, and raises within NOTICED_WITHIN_S."""
        until = time.monotonic() + seconds
        self.check()
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, NOTICED_WITHIN_S))
            self.check()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Like asyncio.run; the work is cancelled before this raises."""
        return asyncio.run(self._unless_it_comes(work))

    async def _unless_it_comes(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.create_task(work)
        while not task.done() and not self._came:
            await asyncio.wait([task], timeout=NOTICED_WITHIN_S)
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
            self.check()
        return task.result()

    def _note(self, _signum: int, _frame: FrameType | None) -> None:
        self._came = True
