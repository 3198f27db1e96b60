"""A run: each scenario on servers of its own, each step in all its rounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench.figure import Figure, Reading, figures_of
from bench.machine import this_machine
from bench.results import Results
from bench.scenario import Impossible, Plan, Scenario
from bench.servers import Own, Servers, running
from bench.stage import Stage
from tests.support.services import Services


async def run(
    scenarios: Sequence[Scenario], plan: Plan, kind: Services, own: Own, directory: Path, tell: Callable[[str], None]
) -> Results:
    """Measure. Raises Stuck or Incomplete when a figure would be worth nothing."""
    figures: list[Figure] = []
    impossible: dict[str, str] = {}
    versions: dict[str, str] = {}
    for scenario in scenarios:
        place = directory / scenario.name
        place.mkdir()
        async with running(kind, own, place) as servers:
            versions |= servers.versions
            try:
                figures += await _measured(scenario, plan, servers, place, tell)
            except Impossible as reason:
                impossible[scenario.name] = str(reason)
    return Results(datetime.now(UTC), this_machine(), versions, plan, figures, impossible)


async def _measured(
    scenario: Scenario, plan: Plan, servers: Servers, directory: Path, tell: Callable[[str], None]
) -> list[Figure]:
    readings: list[Reading] = []
    async with Stage.opened(servers, directory) as stage:
        step_number = 0
        async for step in scenario.steps(stage, plan):
            step_number += 1
            for number in range(plan.rounds):
                tell(f"{scenario.name}: step {step_number}, round {number + 1} of {plan.rounds} …")
                readings += await step()
        await stage.clear()
    figures = figures_of(scenario.name, readings, scenario.targets)
    return figures + figures_of(scenario.name, scenario.conclude(figures), scenario.targets)
