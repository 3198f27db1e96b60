"""Waiting for a condition: the only place in the tests that sleeps."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any

TIMEOUT_S = 90.0  # for a machine that does other things too; nothing that works waits for it
PERIOD_S = 0.02


async def eventually(
    condition: Callable[[], Any | Awaitable[Any]], what: str | Callable[[], str] = "", timeout: float = TIMEOUT_S
) -> Any:
    """The condition's first true value; raises AssertionError, with its last value, after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {timeout} s: {_told(what, condition)} ({value!r})"
        await asyncio.sleep(PERIOD_S)


def _told(what: str | Callable[[], str], condition: Callable[[], object]) -> str:
    return (what() if callable(what) else what) or inspect.getsource(condition)
