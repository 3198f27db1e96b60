"""One run of the five checks, in order, against the pipeline that the settings name; a sixth reports a database that
can't be used, or hides rows."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import click

from traksense_ingest.ops.validate import connectivity, dead_letters, latency, persistence, throughput
from traksense_ingest.ops.validate.cleanup import clean_up
from traksense_ingest.ops.validate.probe import UNREACHABLE, Options, Probe, Problem, connected
from traksense_ingest.ops.validate.report import Finding, Outcome, Report
from traksense_ingest.shared import config, integrity
from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.failure import describe
from traksense_ingest.shared.runtime.service import EXIT_FAILED, EXIT_OK

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


def run_command(options: Options, *, as_json: bool) -> int:
    """Run the checks and print their outcomes; returns the exit code."""
    settings = config.load()
    report = _run_to_the_end(settings, options, quiet=as_json)
    click.echo(report.as_json() if as_json else report.verdict())
    return EXIT_OK if report.passed else EXIT_FAILED


async def run(
    settings: Settings, options: Options | None = None, notify: Callable[[Outcome], None] = lambda _: None
) -> Report:
    """Run all checks; `notify` gets each outcome at once. What was written is removed in any case.

    Errors of broker, database and pipeline are in the report; raises only for a bug or when cancelled.
    """
    outcomes: list[Outcome] = []
    async with connected(settings, options or Options()) as probe:
        try:
            for check in CHECKS:
                outcomes.append(Outcome(check.number, check.name, await _find(check, probe)))
                notify(outcomes[-1])
            if wrong := await _check_database(probe):
                outcomes.append(Outcome(6, "Database", wrong))
                notify(outcomes[-1])
        finally:
            left_behind = await clean_up(probe)
    return Report(probe.tenant, outcomes, left_behind)


def why_not_tried(number: int, problems: Sequence[Problem]) -> str | None:
    """The problem that this check reports in full, or those that earlier ones have reported, in brief; else None."""
    for problem in problems:
        if problem.reported_by == number:
            return problem.detail
    earlier = [problem.brief for problem in problems if problem.reported_by < number]
    return f"not tried: {', '.join(earlier)}" if earlier else None


def _run_to_the_end(settings: Settings, options: Options, *, quiet: bool) -> Report:
    try:
        return asyncio.run(_until_terminated(settings, options, quiet))
    except asyncio.CancelledError:
        raise click.Abort from None


async def _until_terminated(settings: Settings, options: Options, quiet: bool) -> Report:
    """SIGTERM ends it as Ctrl-C does: by cancelling it, so that it removes first what it wrote."""
    task = asyncio.current_task()
    if task:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await run(settings, options, _ignore if quiet else _print)


def _print(outcome: Outcome) -> None:
    click.echo(outcome.line())


def _ignore(_outcome: Outcome) -> None:
    """The JSON at the end has them all."""


async def _find(check: Check, probe: Probe) -> Finding:
    if reason := why_not_tried(check.number, probe.problems):
        return Finding(False, reason)
    finding = Finding(False, "")
    try:
        async with asyncio.timeout(probe.options.timeout + HUNG_S):
            await probe.connect()  # a check may have lost the connection
            finding = await check.find(probe)
    except* UNREACHABLE as group:
        finding = Finding(False, f"{describe(_first_error(group))}; check the broker and the database")
    return finding


async def _check_database(probe: Probe) -> Finding | None:
    """What is wrong with the database; None if nothing is, or if another check has found it unreachable."""
    if probe.unusable:
        return Finding(False, probe.unusable)
    if probe.database is None:
        return None
    try:
        wrong = await integrity.problem(probe.database)
    except UNREACHABLE:
        return None
    return Finding(False, wrong) if wrong else None


def _first_error(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
