"""Waiting for an outage to end: the same operation again, with jittered backoff, until it succeeds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from shared.backoff import Backoff
from shared.failure import Kind, describe, is_hopeless, kind_of
from shared.health import Component
from shared.tasks import end_if_cancelled

T = TypeVar("T")


class Misconfigured(Exception):
    """A service that is starting met something that waiting can't mend; the message says what."""


async def outlast(component: Component, operation: Callable[[], Awaitable[T]]) -> T:
    """The operation's result, however many outages of the component it takes.

    Raises what the operation raises when it is no outage.
    """
    try:
        result = await operation()
    except Exception as error:
        _note_outage(component, error)
        with component.wait():
            result = await _retry(component, operation)
    end_if_cancelled()
    component.up()
    return result


async def _retry(component: Component, operation: Callable[[], Awaitable[T]]) -> T:
    backoff = Backoff()
    while True:
        end_if_cancelled()
        await asyncio.sleep(backoff.delay())
        try:
            return await operation()
        except Exception as error:
            _note_outage(component, error)


def _note_outage(component: Component, error: Exception) -> None:
    if kind_of(error) is not Kind.OUTAGE:
        raise error
    component.down(error)


async def first_contact(component: Component, variable: str, operation: Callable[[], Awaitable[T]]) -> T:
    """As `outlast`, for a service that is starting: what waiting can't mend is raised as Misconfigured."""

    async def attempt() -> T:
        try:
            return await operation()
        except Exception as error:
            if is_hopeless(error):
                raise Misconfigured(f"{variable}: {component.name}: {describe(error)}") from None
            raise

    return await outlast(component, attempt)
