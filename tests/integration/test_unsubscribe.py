"""Filters that are no longer wanted are unsubscribed from the receiver's session."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.support.scripted_broker import UNSUBSCRIBE, ScriptedBroker, scripted
from tests.support.stack import Stack, telem
from tests.support.streams import backlog_is, entries
from tests.support.waiting import eventually
from traksense_ingest.receiver.filters import KEY, TRIES, Filters

PLAIN = {"MQTT_TOPICS": "traksense/+/+/+/telem"}
BOTH = {"MQTT_TOPICS": "traksense/+/+/+/telem,other/#"}
CHANGES = {  # the variables before, those after, and what is unsubscribed
    "a filter fewer": (BOTH, PLAIN, "other/#"),
    "another group": (BOTH | {"MQTT_SHARED_GROUP": "old"}, PLAIN | {"MQTT_SHARED_GROUP": "new"}, "$share/old/other/#"),
    "a group now": (BOTH, PLAIN | {"MQTT_SHARED_GROUP": "new"}, "other/#"),
    "MQTT 5": (BOTH | {"MQTT_PROTOCOL": "5"}, PLAIN | {"MQTT_PROTOCOL": "5"}, "other/#"),
}


@pytest.mark.long
@pytest.mark.parametrize(("before", "after", "obsolete"), CHANGES.values(), ids=CHANGES)
async def test_filters_that_are_no_longer_wanted_are_unsubscribed(
    retaining: Stack, before: dict[str, str], after: dict[str, str], obsolete: str
) -> None:
    stack = retaining
    receiver = await stack.receiver(**before)
    assert receiver.stop() == 0
    receiver = await stack.receiver(**after)
    await receiver.says("unsubscribed from ")
    assert obsolete in receiver.log.partition("unsubscribed from ")[2].splitlines()[0]
    await stack.publish(("other/x", b"not wanted"), telem())
    await eventually(stack.backlog)
    assert [fields[b"topic"] for fields in await entries(stack)] == [telem()[0].encode()]
    assert receiver.stop() == 0
    receiver = await stack.receiver(**after)
    await stack.publish(telem(second=1))
    await eventually(lambda: backlog_is(stack, 2))
    assert "unsubscribed" not in receiver.log, "once is enough"


async def test_redis_that_refuses_to_remember_filters_is_logged_once(retaining: Stack) -> None:
    stack = retaining
    await stack.redis.set("ingest:{receivers}:filters", "somebody else's")
    receiver = await stack.receiver()
    await stack.publish(telem())
    await eventually(stack.backlog)
    assert receiver.log.count("can't be unsubscribed: ingest:{receivers}:filters: WRONGTYPE") == 1


async def test_what_becomes_obsolete_while_the_broker_has_yet_to_answer_is_not_forgotten(stack: Stack) -> None:
    asked: list[list[str]] = []
    answers = asyncio.Event()

    class Slow:
        async def unsubscribe(self, names: list[str], _timeout_s: float) -> None:
            asked.append(names)
            await answers.wait()

    async def known() -> list[str]:
        found: Any = stack.redis.hget(KEY, "r")
        return sorted(json.loads(await found))

    slow: Any = Slow()
    filters = Filters(stack.clients, "r", ["a", "b"])
    await filters.remember()
    filters.replace(["b"])
    first = asyncio.create_task(filters.unsubscribe_obsolete(slow))
    await eventually(lambda: len(asked) == 1)
    await filters.announce(["c"])
    filters.replace(["c"])
    second = asyncio.create_task(filters.unsubscribe_obsolete(slow))
    await eventually(lambda: len(asked) == 2)
    answers.set()
    await asyncio.gather(first, second)
    assert (asked, await known()) == ([["a"], ["b"]], ["c"])
    await filters.unsubscribe_obsolete(slow)
    assert len(asked) == 2, "nothing is left"


async def test_a_broker_that_hangs_up_at_unsubscribe_is_reported_once(stack: Stack) -> None:
    """What hangs up otherwise, as the broker of `up` does at its end, is no reason for a list of all filters."""
    broker = ScriptedBroker(lambda _: b"\x01", disconnect=b"\xe0\x02\x8b\x00", hangs_up_on=UNSUBSCRIBE)
    names = [f"topic{number}/+" for number in range(7)]
    await stack.redis.hset(KEY, "r", json.dumps(names))
    async with scripted(broker):
        variables = {"MQTT_URL": broker.url, "MQTT_PROTOCOL": "5", "MQTT_TOPICS": "c/+", "MQTT_CLIENT_ID": "r"}
        receiver = await stack.receiver(**variables)
        await receiver.says("could not unsubscribe from ")
        assert broker.subscribed == TRIES + 1
        await receiver.ready()
        assert receiver.stop() == 0
    assert receiver.log.count("could not unsubscribe from ") == 1
    assert f"{', '.join(names[:5])} and 2 more: 3 connections " in receiver.log
