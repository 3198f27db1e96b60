"""Simulated devices with connections of their own, and the commands of a backend, as tenants see them."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.integration.test_simulate import Command, command, is_stored
from tests.support.stack import Stack
from tests.support.waiting import eventually
from traksense_ingest.ops.simulate import backend
from traksense_ingest.ops.simulate.fleet import Fleet, Plan
from traksense_ingest.ops.simulate.lane import WINDOW, Lane, Notice
from traksense_ingest.ops.simulate.report import Tally
from traksense_ingest.ops.simulate.run import publish
from traksense_ingest.shared.config import load
from traksense_ingest.shared.messages import ALL_FILTERS

pytestmark = pytest.mark.long  # of `make test-all`

__all__ = ["command"]

TOPICS = ",".join(ALL_FILTERS)
STATES = "SELECT is_online, count(*) FROM tenant.device_state GROUP BY is_online"
OPEN = "SELECT count(*) FROM tenant.command WHERE sent_at IS NULL OR acknowledged_at IS NULL OR is_overdue"


async def shows(stack: Stack, states: list[tuple[bool, int]]) -> None:
    """Wait until so many devices are online or offline."""

    async def is_so() -> bool:
        return await stack.fetch_of_tenant("demo", STATES) == states

    await eventually(is_so, f"device_state: {states}")


async def test_what_it_expects_of_commands_and_states_is_stored(stack: Stack) -> None:
    await stack.receiver(MQTT_TOPICS=TOPICS)
    await stack.writer()
    options = ["--messages", "2000", "--rate", "1000", "--devices", "30", "--bad", "0.01", "--seed", "7", "--json"]
    done = await stack.command("simulate", *options, MQTT_TOPICS=TOPICS)
    summary: dict[str, Any] = json.loads(done.stdout)
    assert (summary["published"], summary["states"]) == (2000, 60)
    assert summary["expected_rows"]["command"] == summary["expected_rows"]["cmd_ack"] > 0
    await eventually(is_stored(stack, summary["sql"][0]), lambda: f"{summary['expected_rows']} stored")
    assert await stack.fetch_of_tenant("demo", OPEN) == [(0,)]
    await shows(stack, [(False, 30)])


async def test_a_simulator_that_is_killed_leaves_its_devices_offline(
    stack: Stack, command: Callable[..., Command]
) -> None:
    await stack.receiver(MQTT_TOPICS=TOPICS)
    await stack.writer()
    variables = {"MQTT_URL": stack.broker.url, "MQTT_TOPICS": TOPICS}
    running = command("--devices", "5", "--rate", "50", **variables)
    await shows(stack, [(True, 5)])
    running.process.kill()
    await shows(stack, [(False, 5)])
    again = command("--devices", "5", "--rate", "50", **variables)
    await shows(stack, [(True, 5)])
    again.process.send_signal(signal.SIGINT)
    assert (await again.ended())[0] == 0
    await shows(stack, [(False, 5)])


@asynccontextmanager
async def simulating(stack: Stack, tally: Tally) -> AsyncIterator[None]:
    """Five devices, until the block ends and they have said so."""
    stop = asyncio.Event()
    plan = Plan(datetime.now(UTC), seed=7, devices=5, rate=200.0, states=True, commands=True)
    running = asyncio.create_task(
        publish(load(mqtt_url=stack.broker.url), plan, 5, tally, stop, lambda _: None, starts_now=True)
    )
    yield
    stop.set()
    await running


async def test_devices_are_online_again_after_the_broker_was_restarted(stack: Stack) -> None:
    await stack.receiver(MQTT_TOPICS=TOPICS)
    await stack.writer()
    tally = Tally()
    async with simulating(stack, tally):
        await shows(stack, [(True, 5)])
        await asyncio.to_thread(stack.broker.kill)
        await asyncio.to_thread(stack.broker.start)
        await eventually(lambda: tally.states == 10, "each has said that it is online once more")
        await shows(stack, [(True, 5)])
    assert (tally.states, tally.last_wills) == (15, 5)
    await shows(stack, [(False, 5)])


async def test_a_stop_leaves_no_command_without_its_ack(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "COMMAND_SHARE", 0.5)
    monkeypatch.setattr(backend, "TAKES_S", (60.0, 60.0))  # longer than the test takes: none is due before the stop
    tally = Tally()
    async with simulating(stack, tally):
        await eventually(lambda: tally.kinds["cmd"] == 5, "each device has one")
        assert tally.acknowledged == 0
    assert tally.acknowledged == 5
    assert tally.unconfirmed == 0


async def test_a_lane_has_room_for_as_many_messages_after_states_as_before(stack: Stack) -> None:
    """Whether they waited for room or not."""
    tally = Tally()
    settings = load(mqtt_url=stack.broker.url)
    lane = Lane(settings, "lane", tally, Notice(settings, pytest.fail))
    (device,) = Fleet(Plan(datetime.now(UTC), seed=7, devices=1)).devices
    running = asyncio.create_task(lane.run())
    for number in range(2 * WINDOW):
        await lane.put(device.state(datetime.now(UTC), f"state {number}"))
        lane.say(device.state(datetime.now(UTC), f"and {number}"))
    await lane.idle.wait()
    assert tally.states == 4 * WINDOW
    lane.close()
    await running
