"""Many dead letters: what the log says of them, their share, and a limit to it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.integration.test_clocks import HostClock, needs_faketime, restart
from tests.support.stack import Stack, telem
from tests.support.waiting import eventually


async def test_the_log_has_a_line_with_one_of_them_and_another_at_the_end(stack: Stack) -> None:
    await stack.append("traksense/t/s/dev/telem", b"no\nJSON")
    writer = await stack.writer()
    await writer.says("dead letters: 1 (parse_error: 1), for example ingest:{0} ")
    assert "topic 'traksense/t/s/dev/telem': parse_error: payload: " in writer.log
    for _ in range(20):
        await stack.append("wrong", b"{}")
    await stack.has_rows("ingest_errors", 21)
    assert writer.log.count("dead letters: ") == 1
    assert writer.stop() == 0
    assert "dead letters: 20 (invalid_topic: 20), for example" in writer.log
    assert writer.log.count("dead letters: ") == 2


async def test_their_share_is_a_metric(stack: Stack) -> None:
    for number in range(100):
        await stack.append(*telem(f"dev{number}")) if number % 4 else await stack.append("wrong", b"{}")
    writer = await stack.writer()
    await stack.has_rows("ingest_errors", 25)
    await eventually(lambda: writer.metric("ingest_rejected_share") == 0.25)


async def test_beyond_the_limit_nothing_is_stored_or_lost_until_a_restart(stack: Stack) -> None:
    for number in range(300):
        await stack.append(*telem(f"dev{number}")) if number % 3 == 0 else await stack.append("wrong", b"{}")
    writer = stack.start("writer", INGEST_MAX_REJECTED_SHARE=0.5)
    await writer.says("would be dead letters, INGEST_MAX_REJECTED_SHARE is 0.5; for example ingest:{0} ")
    assert writer.get("/readyz")[0] == 503
    assert writer.metric("ingest_connected", component="messages") == 0
    letters, rows = await stack.count("ingest_errors"), await stack.count("ts_measure")
    assert letters < 100
    assert await stack.backlog() == 300 - letters - rows
    assert writer.log.count("can't be used") == 1
    assert writer.stop() == 0
    await stack.writer(INGEST_MAX_REJECTED_SHARE=1, INGEST_CLAIM_IDLE_MS=100)
    await stack.has_rows("ingest_errors", 200)
    assert await stack.count("ts_measure") == 100


def at(device: str, ts: datetime) -> tuple[str, bytes]:
    payload = {"schema": "v1", "ts": ts.isoformat(), "points": [{"name": "p", "v": 1}]}
    return f"traksense/t/site/{device}/telem", json.dumps(payload).encode()


def soon(**ahead: float) -> datetime:
    return datetime.now(UTC) + timedelta(**ahead)


@needs_faketime
@pytest.mark.parametrize("days", [-3, -8000], ids=["three days", "before this program"])
async def test_good_messages_wait_for_a_clock_that_is_behind(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    """Redis and the writer on one machine, whose clock is behind."""
    clock = HostClock(tmp_path)
    clock.set(days)
    restart(stack.redis_server, clock, monkeypatch)
    for number in range(30):
        await stack.append(*at(f"dev{number % 5}", soon(seconds=number)))
    writer = stack.start("writer", **clock.variables)
    await writer.says("clock can't be used, waiting for it")
    assert "set the clock (NTP)" in writer.log
    await eventually(lambda: writer.get("/readyz")[0] == 503)
    assert writer.metric("ingest_connected", component="clock") == 0
    assert writer.metric("ingest_errors_total", reason="clock_error") > 0
    assert await stack.count("ingest_errors") == await stack.count("ts_measure") == 0
    clock.set(0)
    await stack.has_rows("ts_measure", 30)
    await eventually(lambda: writer.get("/readyz")[0] == 200)
    assert await stack.count("ingest_errors") == 0


async def test_a_device_that_is_ahead_of_others_is_poison_at_once(stack: Stack) -> None:
    for number in range(3):
        await stack.append(*at("ahead", soon(days=3 + number)))
        await stack.append(*at("right", soon(seconds=number)))
    writer = await stack.writer()
    await stack.has_rows("ingest_errors", 3)
    assert await stack.count("ts_measure") == 3
    assert writer.get("/readyz")[0] == 200


async def test_what_devices_agree_on_is_given_up_once_another_is_in_range(stack: Stack) -> None:
    """A gateway whose clock is wrong for all of its devices, and then somebody whose clock is right."""
    for number in range(6):
        await stack.append(*at(f"ahead{number}", soon(days=3)))
    writer = stack.start("writer")
    await writer.says("6 devices agree that it is 71 h later")
    assert await stack.count("ingest_errors") == 0
    await stack.append(*at("right", soon()))
    await stack.has_rows("ingest_errors", 6)
    assert await stack.count("ts_measure") == 1
    await eventually(lambda: writer.get("/readyz")[0] == 200)
