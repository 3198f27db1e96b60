"""Trying again until an outage ends, and ending when asked to."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest

from tests.support.waiting import one_turn
from traksense_ingest.shared.errors import ConfigurationError
from traksense_ingest.shared.failure import NotServed, Unusable
from traksense_ingest.shared.metrics import WriterMetrics
from traksense_ingest.shared.runtime.health import LINES, Component
from traksense_ingest.shared.runtime.retry import retry_through_outage, wait_until_reachable
from traksense_ingest.shared.runtime.tasks import raise_sole_error, sole_error


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


async def test_an_outage_is_retried_counted_and_logged_once(
    redis: Component, metrics: WriterMetrics, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert await retry_through_outage(redis, failing(3, ConnectionRefusedError("no"))) == "done"
    assert [record.getMessage() for record in caplog.records] == [
        "redis is unreachable, waiting for it: no (redis://somewhere)",
        "redis is reachable",
    ]
    assert metrics.registry.get_sample_value("ingest_errors_total", {"reason": "redis_error"}) == 3
    assert redis.is_up


def test_what_contributed_to_an_outage_is_said_as_long_as_it_lasts(redis: Component) -> None:
    redis.down(ConnectionResetError("lost"), ", while the disk is full")
    redis.down(ConnectionRefusedError("no"))
    assert redis.outage is not None
    assert redis.outage.reason == "no, while the disk is full"
    redis.up()
    redis.down(ConnectionRefusedError("no"))
    assert redis.outage.reason == "no"


async def test_a_cluster_that_answers_is_not_unreachable(redis: Component, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        await retry_through_outage(redis, failing(3, NotServed("CLUSTERDOWN: n1:7001 says: …")))
    assert [record.getMessage() for record in caplog.records] == [
        "redis can't be used, waiting for it: CLUSTERDOWN: n1:7001 says: … (redis://somewhere)",
        "redis can be used again",
    ]


async def test_what_comes_back_and_cannot_be_used_is_logged_too(
    redis: Component, caplog: pytest.LogCaptureFixture
) -> None:
    for error in (
        ConnectionRefusedError("no"),
        Unusable("a Sentinel"),
        ConnectionRefusedError("no"),
        Unusable("a Sentinel"),
    ):
        redis.down(error)
    assert [record.getMessage() for record in caplog.records] == [
        "redis is unreachable, waiting for it: no (redis://somewhere)",
        "redis can't be used, waiting for it: a Sentinel (redis://somewhere)",
    ]


async def test_a_reason_that_differs_at_each_try_does_not_fill_the_log(
    redis: Component, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(100):
        redis.down(Unusable(f"row {number} is refused"))
    assert len(caplog.records) == LINES


@pytest.mark.parametrize("before", [0, 2])
async def test_what_is_no_outage_is_raised(redis: Component, before: int) -> None:
    outages = failing(before, ConnectionRefusedError())
    first = True

    async def operation() -> None:
        nonlocal first
        await outages()
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        await retry_through_outage(redis, operation)


async def test_while_somebody_waits_no_one_elses_success_makes_it_up(redis: Component) -> None:
    waiting = asyncio.create_task(retry_through_outage(redis, failing(10**6, ConnectionRefusedError())))
    await one_turn()
    assert await retry_through_outage(redis, failing(0, OSError())) == "done"
    assert not redis.is_up
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await retry_through_outage(redis, failing(0, OSError()))
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

    task = asyncio.create_task(retry_through_outage(redis, operation))
    await reached.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()


async def test_a_first_contact_that_is_hopeless_names_the_variable(redis: Component) -> None:
    with pytest.raises(ConfigurationError, match=r"^REDIS_URL: redis: .*CERTIFICATE_VERIFY_FAILED"):
        await wait_until_reachable(
            redis, "REDIS_URL", failing(1, OSError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed"))
        )
    assert await wait_until_reachable(redis, "REDIS_URL", failing(2, ConnectionRefusedError())) == "done"


def test_of_several_errors_the_one_that_is_no_outage_is_raised() -> None:
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
