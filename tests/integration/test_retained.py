"""Retained messages that come again at each SUBSCRIBE change nothing that is newer."""

from __future__ import annotations

from datetime import datetime

import pytest

from tests.support.process import Process
from tests.support.retained import BAD, JANUARY, Sentinel, ack, retain
from tests.support.stack import START, Stack, telem
from tests.support.streams import backlog_is, entries
from tests.support.waiting import eventually
from traksense_ingest.shared.streams.keys import key_of
from traksense_ingest.shared.streams.snapshot import read_snapshot

pytestmark = pytest.mark.long

SUBSCRIPTIONS: dict[str, dict[str, str]] = {
    "3.1.1": {},
    "5": {"MQTT_PROTOCOL": "5"},
    "3.1.1 shared": {"MQTT_SHARED_GROUP": "g"},
    "5 shared": {"MQTT_PROTOCOL": "5", "MQTT_SHARED_GROUP": "g"},
}

every_subscription = pytest.mark.parametrize("variables", SUBSCRIPTIONS.values(), ids=SUBSCRIPTIONS)


async def reconnected(stack: Stack, receiver: Process, sentinel: Sentinel, **variables: str) -> Process:
    """The same client again, with all that the broker sends it then."""
    assert receiver.stop() == 0
    receiver = await stack.receiver(**variables)
    await sentinel.passes()
    return receiver


async def test_the_flag_is_the_fourth_field_of_an_entry_and_absent_elsewhere(stack: Stack) -> None:
    await retain(stack, telem(second=1))
    await stack.receiver()
    await eventually(stack.backlog)
    await retain(stack, telem(second=2))  # not a replay: it comes as it is published
    await eventually(lambda: backlog_is(stack, 2))
    replay, live = await entries(stack)
    assert list(replay) == [b"topic", b"payload", b"received_at", b"retained"]
    assert (replay[b"payload"], replay[b"retained"]) == (telem(second=1)[1], b"1")
    assert list(live) == [b"topic", b"payload", b"received_at"]


@every_subscription
async def test_a_reconnection_undoes_no_ack_and_makes_no_second_dead_letter(
    retaining: Stack, variables: dict[str, str]
) -> None:
    stack, sentinel = retaining, Sentinel(retaining)
    receiver, writer = await stack.receiver(**variables), await stack.writer()
    await retain(stack, ack(ok=False), BAD)
    await stack.publish(ack(ok=True))
    await sentinel.passes()
    before = await stack.fetch("SELECT * FROM cmd_ack")
    for _ in range(2):
        receiver = await reconnected(stack, receiver, sentinel, **variables)
    assert await stack.fetch("SELECT * FROM cmd_ack") == before
    assert before[0]["ok"] is True
    assert await stack.count("ingest_errors") == 1
    assert writer.metric("ingest_errors_total", reason="parse_error") == 1
    assert (await read_snapshot(stack.clients, 0)).missing == 0


async def test_a_bad_message_that_a_session_and_a_subscription_bring_is_one_dead_letter(retaining: Stack) -> None:
    """Published while the receiver was stopped: it waits in the session, and is retained."""
    stack, sentinel = retaining, Sentinel(retaining)
    receiver, _ = await stack.receiver(), await stack.writer()
    for times in range(1, 4):
        assert receiver.stop() == 0
        await retain(stack, (f"traksense/t/s/bad{times}/telem", b"not JSON"))
        receiver = await stack.receiver()
        await sentinel.passes()
        assert await stack.count("ingest_errors") == times
    assert (await read_snapshot(stack.clients, 0)).dead_lettered == 2 + 3 + 4


@every_subscription
async def test_a_silent_device_stays_silent_and_latency_counts_what_is_new(
    retaining: Stack, variables: dict[str, str]
) -> None:
    stack, sentinel = retaining, Sentinel(retaining)
    receiver, writer = await stack.receiver(**variables), await stack.writer()
    await retain(stack, telem("silent", 1, meta={"fw": "1"}))
    await sentinel.passes()
    await stack.execute(f"UPDATE device SET site_id = 'elsewhere', last_seen = '{JANUARY}' WHERE device_id = 'silent'")
    before = await stack.fetch("SELECT * FROM device WHERE device_id = 'silent'")
    assert writer.stop() == 0  # it has been silent for longer than a writer remembers
    writer = await stack.writer()
    for _ in range(2):
        receiver = await reconnected(stack, receiver, sentinel, **variables)
    assert await stack.fetch("SELECT * FROM device WHERE device_id = 'silent'") == before
    for histogram in ("ingest_latency_seconds_count", "ingest_transit_seconds_count"):
        assert writer.metric(histogram) == 2, "of the two sentinels"


async def test_what_is_retained_may_be_the_only_copy(retaining: Stack) -> None:
    """Stored as any other, and its device was there when the message says: not now, and not at all without a time."""
    stack, sentinel = retaining, Sentinel(retaining)
    await retain(stack, telem("old", 7), ack(ok=False))
    writer = await stack.writer()
    receiver = await stack.receiver()
    await sentinel.passes()
    assert await stack.fetchval("SELECT ts FROM ts_measure WHERE device_id = 'old'") == at(7)
    assert [
        tuple(row) for row in await stack.fetch("SELECT first_seen, last_seen FROM device WHERE device_id = 'old'")
    ] == [(at(7), at(7))]
    assert await stack.fetchval("SELECT ok FROM cmd_ack") is False
    assert await stack.fetch("SELECT * FROM device WHERE device_id = 'dev'") == []
    receiver = await reconnected(stack, receiver, sentinel)
    assert writer.metric("ingest_duplicates_total", type="ack") == 1
    await stack.publish(ack(ok=True))
    await sentinel.passes()
    assert await stack.fetchval("SELECT ok FROM cmd_ack") is True
    assert await stack.fetchval("SELECT last_seen FROM device WHERE device_id = 'dev'") > JANUARY


def at(second: int) -> datetime:
    return START.replace(second=second)


TOPICS = 30


async def restarted(stack: Stack, receiver: Process) -> None:
    connections = receiver.log.count("connected to")
    stack.broker.stop()
    stack.broker.start()
    await eventually(lambda: receiver.log.count("connected to") > connections, "connected again")


async def added(stack: Stack) -> int:
    return int((await stack.redis.xinfo_stream(key_of(0)))["entries-added"])


async def test_with_mqtt_5_a_restart_of_the_broker_adds_nothing(retaining: Stack) -> None:
    stack, sentinel = retaining, Sentinel(retaining)
    await retain(stack, *(telem(f"dev{number}") for number in range(TOPICS)))
    receiver, _ = await stack.receiver(MQTT_PROTOCOL="5"), await stack.writer()
    await sentinel.passes()
    for _ in range(3):
        await restarted(stack, receiver)
        await sentinel.passes()
    assert await added(stack) == TOPICS + 4


async def test_retained_messages_are_ignored_where_that_is_wanted(retaining: Stack) -> None:
    stack, sentinel = retaining, Sentinel(retaining)
    await retain(stack, *(telem(f"dev{number}") for number in range(TOPICS)))
    receiver, _ = await stack.receiver(MQTT_RETAINED="ignore"), await stack.writer()
    await sentinel.passes()
    await restarted(stack, receiver)
    await sentinel.passes()
    assert await added(stack) == 2
    await receiver.counts("ingest_ignored_total", 2 * TOPICS, reason="retained", mapping="")
    await retain(
        stack, telem("dev0", second=1)
    )  # what a device says now is stored, whether it is to be retained or not
    await eventually(lambda: _has_rows_of(stack, "dev0", 1))
    assert receiver.stop() == 0
    receiver = await stack.receiver(MQTT_RETAINED="ignore")
    await sentinel.passes()
    await receiver.counts("ingest_received_messages_total", TOPICS + 1)


async def _has_rows_of(stack: Stack, device: str, count: int) -> bool:
    return bool(await stack.fetchval("SELECT count(*) FROM ts_measure WHERE device_id = $1", device) == count)
