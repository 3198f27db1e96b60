"""Receivers alone, under a load that is being published: what that took, and what it cost."""

from __future__ import annotations

import time
from functools import partial

from bench.child import loaded
from bench.lane import end_session
from bench.measured import Measured, spent
from bench.packets import V311
from bench.process import peak_mib
from bench.shape import Shape
from bench.stage import Stage, reached, started


async def receive(
    stage: Stage, shape: Shape, receivers: int = 1, shards: int = 1, backlog: int = 0, **variables: object
) -> Measured:
    """Publish a shape until all of it is in the streams, behind a backlog. Each receiver has some of the tenants."""
    names = [f"bench-receive-{time.time_ns()}-{number}" for number in range(receivers)]
    enough = backlog + shape.messages
    processes = [
        stage.receiver(
            MQTT_CLIENT_ID=name,
            MQTT_TOPICS=",".join(map(_filter, range(number, shape.tenants, receivers))),
            INGEST_SHARDS=shards,
            INGEST_QUEUE_MAX=enough,
            **variables,
        )
        for number, name in enumerate(names)
    ]
    async with started(*processes), loaded(stage, shape) as publisher:
        stage.pin(*processes)
        since, before = time.perf_counter(), stage.cpu(receiver=processes)
        publisher.go()
        await reached(partial(stage.backlog, shards), lambda entries: entries >= enough, *processes)
        seconds, after = time.perf_counter() - since, stage.cpu(receiver=processes)
        await publisher.done()
        peak = max(peak_mib(process.pid or 0) for process in processes)
    for name in names:
        end_session(stage.servers.brokers[V311], V311, name)
    return Measured(shape.rows, seconds, spent(before, after, "postgres"), {"receiver": peak})


def _filter(tenant: int) -> str:
    return f"traksense/tenant{tenant}/+/+/telem"
