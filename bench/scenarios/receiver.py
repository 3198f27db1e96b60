"""Receiver alone: from a session that the broker has filled before into the stream, with MQTT 3.1.1 and 5.

Nothing is published and no writer runs, so the receiver has the machine to itself but for the broker and Redis.
The reference takes the same messages out of a session of its own: aiomqtt as it comes, and nothing done with them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from functools import partial

from bench.child import child, loaded
from bench.figure import Reading, at_most
from bench.lane import end_session, leave_session
from bench.packets import V5, V311
from bench.process import peak_mib
from bench.scenario import Plan, Scenario, Step
from bench.shape import Shape
from bench.stage import Stage, just_before, reached

MESSAGES = 50_000
FILTER = "traksense/+/+/+/telem"
CPU_US = 20


async def steps(stage: Stage, plan: Plan) -> AsyncIterator[Step]:
    """One for each version of the protocol."""
    for protocol in (V311, V5):
        yield partial(_compare, stage, Shape(plan.scaled(MESSAGES)), protocol)


async def _compare(stage: Stage, shape: Shape, protocol: str) -> Sequence[Reading]:
    return [*await _receiver(stage, shape, protocol), *await _reference(stage, shape, protocol)]


async def _receiver(stage: Stage, shape: Shape, protocol: str) -> list[Reading]:
    await stage.clear()
    name = f"bench-receiver-{time.time_ns()}"
    await _publish_to(stage, shape, protocol, name)
    receiver = stage.receiver(MQTT_PROTOCOL=protocol, MQTT_CLIENT_ID=name, INGEST_QUEUE_MAX=shape.messages)

    def snapshot() -> tuple[float, float]:
        return time.perf_counter(), stage.cpu(receiver=[receiver])["receiver"]

    starting = asyncio.ensure_future(asyncio.to_thread(receiver.start))
    try:
        started, before = await just_before(stage.backlog, lambda entries: entries > 0, snapshot)
        await reached(stage.backlog, lambda entries: entries >= shape.messages)
        ended, after = snapshot()
        peak = peak_mib(receiver.pid or 0)
    finally:
        await asyncio.gather(starting, return_exceptions=True)
        await asyncio.to_thread(receiver.stop)
        end_session(stage.servers.brokers[protocol], protocol, name)
    return [
        Reading(f"MQTT {protocol}", shape.messages / (ended - started), "messages/s"),
        Reading(f"MQTT {protocol}, CPU", (after - before) * 1e6 / shape.messages, "µs/message"),
        Reading(f"MQTT {protocol}, memory", peak, "MiB"),
    ]


async def _reference(stage: Stage, shape: Shape, protocol: str) -> list[Reading]:
    name = f"bench-idle-{time.time_ns()}"
    await _publish_to(stage, shape, protocol, name)
    async with child(stage, "bench.idle", name, shape.messages, MQTT_PROTOCOL=protocol) as idle:
        result = await idle.result()
    end_session(stage.servers.brokers[protocol], protocol, name)
    return [
        Reading(f"MQTT {protocol}, aiomqtt that does nothing", shape.messages / result["seconds"], "messages/s"),
        Reading(f"MQTT {protocol}, aiomqtt that does nothing, CPU", result["cpu"] * 1e6 / shape.messages, "µs/message"),
    ]


async def _publish_to(stage: Stage, shape: Shape, protocol: str, name: str) -> None:
    """Publish all of it for a client that connects later."""
    leave_session(stage.servers.brokers[protocol], protocol, name, FILTER)
    async with loaded(stage, shape, protocol) as publisher:
        publisher.go()
        await publisher.done()


RECEIVER = Scenario(
    "receiver",
    steps,
    targets={f"MQTT {protocol}, CPU": at_most(CPU_US) for protocol in (V311, V5)},
)
