"""Commands and their ACKs: from the broker to their tenant's view and to the gauge; the time that `migrate` sets."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.stack import Stack
from tests.support.waiting import eventually
from traksense_ingest.shared.database import open_pool
from traksense_ingest.writer.watch.overdue_commands import overdue

pytestmark = pytest.mark.long  # of `make test-all`

TOPICS = "traksense/+/+/+/telem,traksense/+/+/+/ack,traksense/+/+/+/cmd"
VIEW = """
    SELECT device_id, cmd_id, cmd, sent_at IS NOT NULL, ok, err, latency > interval '0', is_overdue
    FROM tenant.command ORDER BY cmd_id
"""


def command(cmd_id: str, ago_s: float = 0, **more: Any) -> tuple[str, bytes]:
    ts = datetime.now(UTC) - timedelta(seconds=ago_s)
    payload = {"schema": "v1", "cmd_id": cmd_id, "ts": ts.isoformat(), "cmd": "defrost"} | more
    return "traksense/acme/plant/fridge/cmd", json.dumps(payload).encode()


def ack(cmd_id: str, **more: Any) -> tuple[str, bytes]:
    return "traksense/acme/plant/fridge/ack", json.dumps({"schema": "v1", "cmd_id": cmd_id, "ok": True} | more).encode()


async def test_commands_of_version_1(stack: Stack) -> None:
    await stack.receiver(MQTT_TOPICS=TOPICS)
    writer = await stack.writer()
    await stack.publish(command("answered", 5), command("failed", 5), command("late", 90), command("waits", -600))
    await stack.publish(command("answered", 4, cmd="another"), command("waits", ts=None))
    await stack.publish(ack("answered"), ack("failed", ok=False, err="door open"), ack("of another way"))
    await stack.has_rows("command", 4)
    await stack.has_rows("cmd_ack", 3)
    assert await stack.fetch_of_tenant("acme", VIEW) == [
        ("fridge", "answered", "defrost", True, True, None, True, False),
        ("fridge", "failed", "defrost", True, False, "door open", True, False),
        ("fridge", "late", "defrost", True, None, None, None, True),
        ("fridge", "of another way", None, False, True, None, None, False),
        ("fridge", "waits", "defrost", True, None, None, None, False),
    ]
    assert await stack.fetch_of_tenant("other", VIEW) == []
    await writer.counts("ingest_messages_total", 6, type="cmd")
    await writer.counts("ingest_duplicates_total", 2, type="cmd")


async def test_a_command_does_not_show_that_its_device_is_there(stack: Stack) -> None:
    await stack.append(*command("c1"))
    await stack.append(*command("retained", 60), retained="1")
    await stack.append(*command("nobody knows when", ts=None), retained="1")
    await stack.writer()
    await stack.has_rows("command", 2)
    assert await stack.count("device") == 0


async def test_the_first_sending_counts_whichever_is_committed_first(stack: Stack) -> None:
    """Two lanes may commit in another order than the stream's."""
    await stack.append(*command("c1", cmd="first"))
    await stack.execute(
        "INSERT INTO command (tenant_id, device_id, cmd_id, sent_at, cmd, payload, created_at)"
        " VALUES ('acme', 'fridge', 'c1', now(), 'second', '{}', now() + interval '1 minute')"
    )
    writer = await stack.writer()
    await eventually(lambda: writer.metric("ingest_messages_total", type="cmd") == 1)
    assert [tuple(row) for row in await stack.fetch("SELECT cmd, payload ->> 'cmd' FROM command")] == [
        ("first", "first")
    ]
    await stack.append(*command("c1", cmd="third"))
    await eventually(lambda: writer.metric("ingest_messages_total", type="cmd") == 2)
    assert await stack.fetchval("SELECT cmd FROM command") == "first"
    assert writer.metric("ingest_duplicates_total", type="cmd") == 2


@asynccontextmanager
async def pool_of(stack: Stack) -> AsyncIterator[Any]:
    pool = await open_pool(stack.database_url, 0, 1)
    try:
        yield pool
    finally:
        pool.terminate()


async def test_overdue_commands_are_counted_for_an_hour(stack: Stack) -> None:
    sent = {"new": -3600, "overdue": 62, "answered": 62, "half an hour ago": 1800, "old": 3700}
    for cmd_id, ago_s in sent.items():
        await stack.append(*command(cmd_id, ago_s))
    await stack.append(*ack("answered"))
    await stack.writer()
    await stack.has_rows("command", len(sent))
    await stack.has_rows("cmd_ack", 1)
    async with pool_of(stack) as pool:
        assert await overdue(pool) == 2
        await stack.append(*ack("overdue"))
        await stack.has_rows("cmd_ack", 2)
        assert await overdue(pool) == 1
    second = await stack.writer()  # counts at its start, and then every 15 s
    await eventually(lambda: second.metric("ingest_commands_overdue") == 1)


async def test_the_gauge_of_a_database_that_is_down_is_no_number(stack: Stack) -> None:
    async with pool_of(stack) as pool:
        assert await overdue(pool) == 0
        await stack.refuse_connections()
        assert str(await overdue(pool)) == "nan"
        await stack.allow_connections()
        assert await overdue(pool) == 0


async def test_migrate_sets_when_a_command_is_overdue(stack: Stack) -> None:
    await stack.append(*command("c1", 600))
    await stack.writer()
    await stack.has_rows("command", 1)
    assert [row[-1] for row in await stack.fetch_of_tenant("acme", VIEW)] == [True], "60 s, if nobody says otherwise"
    done = await stack.command("migrate", INGEST_ACK_TIMEOUT_S=36_000)
    assert done.stdout.strip() == "command: overdue 36000 s after it was sent (before: 60 s)"
    assert [row[-1] for row in await stack.fetch_of_tenant("acme", VIEW)] == [False]
    async with pool_of(stack) as pool:
        assert await overdue(pool) == 0
    again = await stack.command("migrate", INGEST_ACK_TIMEOUT_S=36_000)
    assert again.stdout.strip() == "nothing to do: the database is up to date"
