"""The command `mapping test`: the tests inside the files, and what they leave untested."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import click

from traksense_ingest.ops.dlq.payload_text import payload_lines_of
from traksense_ingest.ops.mapping.columns import screen_width, wrapped
from traksense_ingest.ops.mapping.engine import loaded, named_files, verdict_of
from traksense_ingest.ops.mapping.excerpt import excerpt
from traksense_ingest.ops.terminal import number, printable
from traksense_ingest.shared import config
from traksense_ingest.shared.mapping.faults import Fault
from traksense_ingest.shared.mapping.mappings import Mappings
from traksense_ingest.shared.mapping.points import Place
from traksense_ingest.shared.runtime.service import EXIT_FAILED
from traksense_ingest.writer.decode.mapped.check import Report, Result, Unreached, run_tests
from traksense_ingest.writer.outcome import Rejected


def run(specs: Sequence[str], *, shows_coverage: bool, as_json: bool) -> None:
    """The command; exits with 1 if a test fails. What no test reaches is no failure."""
    reports = reports_of(loaded(specs, config.load()))
    width = screen_width()
    for report, file in reports:
        for result in report.results:
            if as_json:
                click.echo(json.dumps(as_dict(result, file), ensure_ascii=False))
            elif not result.passed:
                click.echo("\n".join(_failure(result, file, width)) + "\n")
        for unreached in report.unreached if shows_coverage else ():
            _show_unreached(unreached, width, as_json=as_json)
    failed = sum(len(report.failed) for report, _ in reports)
    if not as_json:
        click.echo("\n".join(wrapped(_summary([report for report, _ in reports], failed, shows_coverage), width)))
    if failed:
        sys.exit(EXIT_FAILED)


def reports_of(mappings: Mappings) -> list[tuple[Report, str]]:
    """Of the files that were named, each with its file's name; other mappings' routes are tried as in a writer."""
    return [(run_tests(file, mappings), file.routes[0].place.file) for file in named_files(mappings)]


def untested(reports: Sequence[tuple[Report, str]]) -> Iterator[Fault]:
    """Routes that no test reaches."""
    for report, _ in reports:
        for unreached in report.unreached:
            if not unreached.where:
                yield Fault(unreached.place, unreached.route, "no test reaches it")


def _failure(result: Result, file: str, width: int | None) -> Iterator[str]:
    yield from wrapped(f"{file}:{result.test.line}: {result.mapping}: {printable(result.test.name)}: failed", width)
    yield from wrapped(f"{printable(result.test.message.topic)}: {taker(result)}", width, "  ")
    for problem in result.problems:
        yield from wrapped(printable(problem), width, "  ")
    if isinstance(result.outcome, Rejected) and result.test.poison is None:
        yield from payload_lines_of(result.test.message.payload, result.outcome.reason, full=True)


def taker(result: Result) -> str:
    """Which route has taken the test's message."""
    return f"taken by {result.route}" if result.route else "no route takes it"


def as_dict(result: Result, file: str) -> dict[str, Any]:
    """For JSON."""
    return {
        "mapping": result.mapping,
        "test": result.test.name,
        "file": file,
        "line": result.test.line,
        "passed": result.passed,
        "route": result.route,
        "outcome": verdict_of(result.outcome),
        "problems": list(result.problems),
    }


def _show_unreached(unreached: Unreached, width: int | None, *, as_json: bool) -> None:
    place: Place = unreached.place
    if as_json:
        found = {"unreached": unreached.route, "where": unreached.where or None}
        click.echo(json.dumps(found | {"file": place.file, "line": place.line}))
        return
    what = f"{unreached.route}{f': {unreached.where}' if unreached.where else ''}"
    click.echo("\n".join([*wrapped(f"{place}: {what}: no test reaches it", width), *excerpt(place, width)]) + "\n")


def _summary(reports: Sequence[Report], failed: int, shows_coverage: bool) -> str:
    total = sum(len(report.results) for report in reports)
    how = f"{failed} failed" if failed else "none failed"
    found = f"{number(total, 'test')} of {number(len(reports), 'mapping')}: {how if total else 'nothing is tested'}"
    missed = sum(len(report.unreached) for report in reports)
    if not shows_coverage:
        return found
    return f"{found}; {_missed(missed)} without a test"


def _missed(count: int) -> str:
    return f"{count} routes or points" if count > 1 else f"{count or 'no'} route or point"
