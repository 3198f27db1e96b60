"""Trying again until an outage ends, and ending when asked to."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest

from shared.health import Component
from shared.metrics import WriterMetrics
from shared.outage import Misconfigured, first_contact, outlast
from shared.tasks import raise_sole_error, sole_error


@pytest.fixture
def metrics() -> WriterMetrics:
    return WriterMetrics()


@pytest.fixture
def redis(metrics: WriterMetrics) -> Component:
    return Component("redis", "redis://somewhere", metrics)


def failing(times: int, error: Exception) -> Callable[[], Awaitable[str]]:
    left = iter([error] * times)

    async def operation() -> str:
        if failure := next(left, None):
            raise failure
        return "done"

    return operation


async def test_an_outage_is_outlasted_counted_and_told_once(
    redis: Component, metrics: WriterMetrics, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert await outlast(redis, failing(3, ConnectionRefusedError("no"))) == "done"
    assert [record.getMessage() for record in caplog.records] == [
        "redis is away, waiting for it: no (redis://somewhere)",
        "redis is there",
    ]
    assert metrics.registry.get_sample_value("ingest_errors_total", {"reason": "redis_error"}) == 3
    assert redis.is_up


@pytest.mark.parametrize("before", [0, 2])
async def test_what_is_no_outage_is_raised(redis: Component, before: int) -> None:
    outages = failing(before, ConnectionRefusedError())
    first = True

    async def operation() -> None:
        nonlocal first
        await outages()
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        await outlast(redis, operation)


async def test_while_somebody_waits_no_one_elses_success_makes_it_up(redis: Component) -> None:
    waiting = asyncio.create_task(outlast(redis, failing(10**6, ConnectionRefusedError())))
    await asyncio.sleep(0)
    assert await outlast(redis, failing(0, OSError())) == "done"
    assert not redis.is_up
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await outlast(redis, failing(0, OSError()))
    assert redis.is_up


@pytest.mark.parametrize("outages", [0, 1])
async def test_a_cancellation_that_a_library_swallows_ends_it_all_the_same(redis: Component, outages: int) -> None:
    """As asyncio.wait_for of Python 3.11 does when it comes together with the result."""
    first = failing(outages, ConnectionRefusedError())
    reached = asyncio.Event()

    async def operation() -> str:
        await first()
        reached.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "a result"
        return ""

    task = asyncio.create_task(outlast(redis, operation))
    await reached.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()


async def test_a_first_contact_that_is_hopeless_names_the_variable(redis: Component) -> None:
    with pytest.raises(Misconfigured, match=r"^REDIS_URL: redis: .*CERTIFICATE_VERIFY_FAILED"):
        await first_contact(redis, "REDIS_URL", failing(1, OSError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed")))
    assert await first_contact(redis, "REDIS_URL", failing(2, ConnectionRefusedError())) == "done"


def test_of_several_errors_the_one_that_is_no_outage_is_told() -> None:
    bug = KeyError()
    nested = BaseExceptionGroup("", [OSError(), BaseExceptionGroup("", [TimeoutError(), bug])])
    assert sole_error(nested) is bug
    outage = OSError()
    assert sole_error(BaseExceptionGroup("", [outage, TimeoutError()])) is outage


def test_an_error_that_is_raised_in_its_groups_place_does_not_contain_itself() -> None:
    bug = KeyError("x")
    with pytest.raises(KeyError) as raised:
        _raise_out_of_a_group(bug)
    assert raised.value is bug
    assert bug.__context__ is None


def _raise_out_of_a_group(error: Exception) -> None:
    try:
        raise BaseExceptionGroup("", [error])
    except BaseExceptionGroup as group:
        raise_sole_error(group)
