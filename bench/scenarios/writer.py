"""Writer alone: draining a stream of 100 000 prepared messages, appended by the receiver's own script."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from bench.drain import drain
from bench.figure import Reading, at_most
from bench.scenario import Plan, Scenario, Step
from bench.shape import Shape
from bench.stage import Stage

MESSAGES = 100_000
CPU_US = 2


async def steps(stage: Stage, plan: Plan) -> AsyncIterator[Step]:
    """One."""
    shape = Shape(plan.scaled(MESSAGES))

    async def measure() -> Sequence[Reading]:
        await stage.clear()
        await stage.fill(shape)
        drained = await drain(stage, shape)
        return [
            Reading("drained", drained.rate, "points/s"),
            *(Reading(f"CPU of {name}", drained.cost(name), "µs/point") for name in drained.cpu),
            Reading("cores busy", drained.cores, "cores"),
            Reading("memory", drained.peak_mib["writer"], "MiB"),
        ]

    yield measure


WRITER = Scenario("writer", steps, targets={"CPU of writer": at_most(CPU_US), "memory": at_most(150)})
