"""Periodic tasks never end, and log each error once."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from tests.support.waiting import eventually
from traksense_ingest.shared.runtime.retry import watch


async def test_each_error_is_logged_once_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    errors: list[Exception | None] = [KeyError("a"), KeyError("a"), None, KeyError("a"), ValueError("b"), None]
    attempts = iter(errors)
    ended = asyncio.Event()

    async def attempt() -> None:
        try:
            error = next(attempts)
        except StopIteration:
            ended.set()
            return
        if error:
            raise error

    task = asyncio.create_task(watch("it", attempt, 0.001))
    await eventually(ended.is_set)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    logged = [record.exc_info[1] for record in caplog.records if record.exc_info]
    assert logged == [errors[0], errors[4]]


@pytest.mark.parametrize("error", [None, ValueError], ids=["no error", "an error"])
async def test_it_ends_at_a_cancellation_that_what_it_calls_has_forgotten(error: type[Exception] | None) -> None:
    begun = asyncio.Event()

    async def forgetful() -> None:
        begun.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        if error:
            raise error

    task = asyncio.create_task(watch("a thing", forgetful, 3600))
    await begun.wait()
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=10)
    assert done
