"""Ctrl-C and SIGTERM, handled at points where no operation is half done."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Coroutine
from types import FrameType
from typing import Any, Self, TypeVar

CHECK_EVERY_S = 0.05

T = TypeVar("T")


class Interruption:
    """Remembers the signals while it is entered; `check`, `sleep` and `run` raise KeyboardInterrupt for them.

    Raised by the handler itself, it could come between any two instructions: in a finalizer, where Python drops it, or
    between taking the lock of a child process and the block that releases it, so that nobody can wait for the child.
    """

    def __init__(self) -> None:
        self._received = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Raise KeyboardInterrupt if one was received."""
        if self._received:
            raise KeyboardInterrupt

    def sleep(self, seconds: float) -> None:
        """Like time.sleep, and raises within CHECK_EVERY_S."""
        until = time.monotonic() + seconds
        self.check()
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, CHECK_EVERY_S))
            self.check()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Like asyncio.run; the work is cancelled before this raises."""
        return asyncio.run(self._until_received(work))

    async def _until_received(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.create_task(work)
        while not task.done() and not self._received:
            await asyncio.wait([task], timeout=CHECK_EVERY_S)
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
            self.check()
        return task.result()

    def _note(self, _signum: int, _frame: FrameType | None) -> None:
        self._received = True
