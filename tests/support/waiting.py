"""Waiting for a condition, the only module of the tests that sleeps; and watching that one holds."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

TIMEOUT_S = 90.0  # for a machine that does other things too; nothing that works waits for it
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.01, 0.1


async def eventually(
    condition: Callable[[], Any | Awaitable[Any]], what: str | Callable[[], str] = "", timeout: float = TIMEOUT_S
) -> Any:
    """The condition's first true value; raises AssertionError, with its last value, after `timeout` seconds."""
    deadline, pause = time.monotonic() + timeout, FIRST_PAUSE_S
    while True:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {timeout} s: {_described(what, condition)} ({value!r})"
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, LONGEST_PAUSE_S)


def eventually_blocking(condition: Callable[[], bool], timeout: float = TIMEOUT_S) -> None:
    """The same without an event loop."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout} s: {_described('', condition)}"
        time.sleep(FIRST_PAUSE_S)


async def pause(seconds: float) -> None:
    """The pace of a load, or a time that has to pass. It waits for nothing: a condition has `eventually`."""
    await asyncio.sleep(seconds)


async def one_turn() -> None:
    """Let tasks that are ready run until they wait, where nothing shows that they do."""
    await asyncio.sleep(0)


@asynccontextmanager
async def watching(watch: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Runs for as long as the block what never ends unless it finds something; fails with what it found."""
    task = asyncio.create_task(watch)
    try:
        yield
        if task.done():
            await task
    finally:
        while not task.done():  # a cancellation may get lost in redis-py, where a time-out ends in the same moment
            task.cancel()
            await asyncio.wait([task], timeout=1)
        await asyncio.gather(task, return_exceptions=True)


def _described(what: str | Callable[[], str], condition: Callable[[], object]) -> str:
    return (what() if callable(what) else what) or inspect.getsource(condition)
