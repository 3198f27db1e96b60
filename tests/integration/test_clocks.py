"""The host's clock is set back and forward while everything runs: nothing is lost, refused, stuck or negative."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.debian import DebianRedis
from tests.support.stack import START, Stack, telem
from tests.support.waiting import eventually

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


@needs_faketime
@pytest.mark.parametrize("redis_too", [False, True], ids=["services", "Redis and services"])
async def test_a_clock_that_steps(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redis_too: bool
) -> None:
    if redis_too and isinstance(stack.redis_server, DebianRedis):
        pytest.skip("its jemalloc asks for the time before faketime is there")
    clock = HostClock(tmp_path)
    if redis_too:
        stack.redis_server.stop()
        with monkeypatch.context() as environment:
            for name, value in clock.variables.items():
                environment.setenv(name, value)
            stack.redis_server.start()
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
