"""The host's clock is set back and forward while everything runs: nothing is lost, refused, stuck or negative."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.budget import few_of
from tests.support.stack import START, Stack, telem
from tests.support.waiting import eventually
from traksense_ingest.ops.embedded import Server
from traksense_ingest.ops.embedded.debian import DebianRedis

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
needs_faketime = pytest.mark.skipif(LIBRARY is None, reason="not installed here: faketime")


class HostClock:
    """The clock that processes with these variables see; their monotonic clock runs on, as it does on a real host."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "clock"
        self.set(0)
        self.variables = {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, days: float) -> None:
        """So many days ahead of the true time."""
        self._file.write_text(f"{days * 86_400:+.0f}s\n")


def seconds_now() -> float:
    return (datetime.now(UTC) - START).total_seconds()


def restart(redis: Server, clock: HostClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis goes on with what it has, by another clock."""
    variables = dict(clock.variables)
    if isinstance(redis, DebianRedis):
        # Its malloc is jemalloc's, which asks for the time while faketime, asked for the first time, asks for memory:
        # both wait for ever. With this part of libc it is libc's.
        variables["LD_PRELOAD"] = f"libc_malloc_debug.so.0 {variables['LD_PRELOAD']}"
    redis.stop()
    with monkeypatch.context() as environment:
        for name, value in variables.items():
            environment.setenv(name, value)
        redis.start()


async def time_of(stack: Stack) -> float:
    seconds, _ = await stack.redis.time()
    return float(seconds)


@needs_faketime
@pytest.mark.parametrize("redis_too", few_of([True, False], 1), ids=["Redis and services", "services"])
async def test_a_clock_that_steps(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redis_too: bool
) -> None:
    clock = HostClock(tmp_path)
    if redis_too:
        restart(stack.redis_server, clock, monkeypatch)
        clock.set(3)
        assert await time_of(stack) > time.time() + 2 * 86_400
    receiver, writer = await stack.receiver(**clock.variables), await stack.writer(**clock.variables)
    total = 0
    for days in (0, -3, 3, -400, 0):
        clock.set(days)
        await stack.publish(*(telem(f"dev{days}", seconds_now() + number) for number in range(100)))
        topic, payload = telem("moving", seconds_now())
        await stack.publish((topic.replace("/site/", f"/site{days}/"), payload))
        total += 101
        await stack.has_rows("ts_measure", total)
        for process in (receiver, writer):
            assert process.get("/readyz")[0] == 200
            assert process.negative_samples() == []
    assert await stack.count("ingest_errors") == 0, "the devices' clocks were right"
    assert await stack.fetchval("SELECT bool_and(last_seen <= now()) FROM device")
    await eventually(lambda: _is_at(stack, "site0"), "what was seen when the clock was ahead gives way")
    assert receiver.stop() == writer.stop() == 0
    assert "Traceback" not in receiver.log + writer.log


async def _is_at(stack: Stack, site: str) -> bool:
    return bool(await stack.fetchval("SELECT site_id FROM device WHERE device_id = 'moving'") == site)


@needs_faketime
async def test_the_clock_of_redis_alone_is_set_back(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By it a dead writer's entries were delivered in the future. They wait until then; nothing else does."""
    clock = HostClock(tmp_path)
    restart(stack.redis_server, clock, monkeypatch)
    receiver, dying = await stack.receiver(), await stack.writer()
    async with stack.locked("ts_measure"):
        await stack.publish(*(telem(f"dead{number}") for number in range(10)))
        await eventually(lambda: _is_held(stack, 10))
        clock.set(-1)
        dying.kill()
    living = await stack.writer(INGEST_CLAIM_IDLE_MS=100)
    await stack.publish(*(telem(f"living{number}") for number in range(10)))
    await eventually(lambda: stack.count("ts_measure"))
    await eventually(lambda: _is_held(stack, 10), "what is new is stored and settled")
    assert await stack.fetchval("SELECT bool_and(device_id LIKE 'living%') FROM ts_measure")
    assert receiver.negative_samples() == living.negative_samples() == []
    clock.set(0)
    await stack.has_rows("ts_measure", 20)
    assert "Traceback" not in living.log
    assert await stack.count("ingest_errors") == 0


async def _is_held(stack: Stack, entries: int) -> bool:
    return await stack.pending() == await stack.backlog() == entries
