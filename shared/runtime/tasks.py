"""What is missing in Python 3.11's asyncio: cancellations that get lost, task groups that end with one error, and tasks
that end with a block."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any, NoReturn

from traksense_ingest.shared.failure import Kind, kind_of


def end_if_cancelled() -> None:
    """Raise CancelledError in a task that was asked to end.

    Until Python 3.12 asyncio.wait_for, which redis-py and aiomqtt use, forgets a cancellation that arrives together
    with its result. Called after each such await that a loop would go on from, so that the loop ends all the same.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


@contextlib.asynccontextmanager
async def in_background(work: Coroutine[Any, Any, object], name: str) -> AsyncIterator[None]:
    """Run it in a task for as long as the block, and cancel it then. Raises what it raised, at the end of the block."""
    task = asyncio.create_task(work, name=name)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def sole_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that a task group ended with; of several, one that isn't an outage."""
    errors = _leaves(group)
    return next((error for error in errors if kind_of(error) is not Kind.OUTAGE), errors[0])


def raise_sole_error(group: BaseExceptionGroup[BaseException]) -> NoReturn:
    """Raise it instead of the group.

    For a plain `except`: a `raise` in an `except*` is wrapped again by Python 3.11.2. The error must not have the group
    as its context, for then it would contain itself.
    """
    error = sole_error(group)
    try:
        raise error
    finally:
        error.__context__ = None


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]
