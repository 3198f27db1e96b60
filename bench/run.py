"""A run: each scenario on servers of its own, each step in all its rounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench.figure import Figure, Reading, figures_of
from bench.results import Results, this_machine
from bench.scenario import Impossible, Plan, Scenario
from bench.servers import Own, Servers, running
from bench.stage import Stage
from traksense_ingest.ops.embedded.debian import Services


async def run(
    scenarios: Sequence[Scenario], plan: Plan, kind: Services, own: Own, directory: Path, log: Callable[[str], None]
) -> Results:
    """Measure. Raises Stuck or Incomplete when a figure would not be valid."""
    figures: list[Figure] = []
    impossible: dict[str, str] = {}
    versions: dict[str, str] = {}
    for scenario in scenarios:
        subdirectory = directory / scenario.name
        subdirectory.mkdir()
        async with running(kind, own, subdirectory) as servers:
            versions |= servers.versions
            try:
                figures += await _measured(scenario, plan, servers, subdirectory, log)
            except Impossible as reason:
                impossible[scenario.name] = str(reason)
    return Results(datetime.now(UTC), this_machine(), versions, plan, figures, impossible)


async def _measured(
    scenario: Scenario, plan: Plan, servers: Servers, directory: Path, log: Callable[[str], None]
) -> list[Figure]:
    readings: list[Reading] = []
    async with Stage.opened(servers, directory) as stage:
        step_number = 0
        async for step in scenario.steps(stage, plan):
            step_number += 1
            for number in range(plan.rounds):
                log(f"{scenario.name}: step {step_number}, round {number + 1} of {plan.rounds} …")
                readings += await step()
        await stage.clear()
    figures = figures_of(scenario.name, readings, scenario.targets)
    return figures + figures_of(scenario.name, scenario.conclude(figures), scenario.targets)
