"""One run of the five checks, in order, against the pipeline that the settings name."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from ops.validate import connectivity, dead_letters, latency, persistence, throughput
from ops.validate.cleanup import clean_up
from ops.validate.options import Options
from ops.validate.probe import UNREACHABLE, Probe, Problem, connected
from ops.validate.report import Finding, Outcome, Report
from shared.config import Settings
from shared.failure import describe

HUNG_S = 15.0  # beyond the time-out, which the checks keep themselves: broker or database no longer answers


class Check(NamedTuple):
    """One of the five."""

    number: int
    name: str
    find: Callable[[Probe], Awaitable[Finding]]


CHECKS = (
    Check(1, "MQTT connectivity", connectivity.check),
    Check(2, "Persistence", persistence.check),
    Check(3, "Dead letter queue", dead_letters.check),
    Check(4, "Throughput", throughput.check),
    Check(5, "Latency", latency.check),
)


async def run(
    settings: Settings, options: Options | None = None, tell: Callable[[Outcome], None] = lambda _: None
) -> Report:
    """Run all checks; `tell` hears of each as it ends. What was written is removed, whatever happens.

    What broker, database or pipeline do wrong is in the report; raises only for a bug or when cancelled.
    """
    outcomes: list[Outcome] = []
    async with connected(settings, options or Options()) as probe:
        try:
            for check in CHECKS:
                outcomes.append(Outcome(check.number, check.name, await _find(check, probe)))
                tell(outcomes[-1])
        finally:
            left_behind = await clean_up(probe)
    return Report(probe.tenant, outcomes, left_behind)


def obstacle(number: int, problems: Sequence[Problem]) -> str | None:
    """Why a check can't be tried: the problem that it is to tell, or those that others have told."""
    for problem in problems:
        if problem.told_by == number:
            return problem.detail
    told = [problem.brief for problem in problems if problem.told_by < number]
    return f"not tried: {', '.join(told)}" if told else None


async def _find(check: Check, probe: Probe) -> Finding:
    if reason := obstacle(check.number, probe.problems):
        return Finding(False, reason)
    finding = Finding(False, "")
    try:
        async with asyncio.timeout(probe.options.timeout + HUNG_S):
            finding = await check.find(probe)
    except* UNREACHABLE as group:
        finding = Finding(False, f"{describe(_first(group))}; look at the broker and the database")
    return finding


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
