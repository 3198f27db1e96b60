"""The outcome as a table, a line for each fault: for a terminal, and as Markdown for publishing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

from rich.console import Group
from rich.table import Table
from rich.text import Text

from tests.chaos.console.report import HEADINGS as CONSOLE_HEADINGS
from tests.chaos.console.report import TEXTS, console_rows, console_sums
from tests.chaos.outcome import Outcome

HEADINGS = ("fault", "times", "published", "stored", "lost", "duplicated", "lost by broker", "recovery s (max)")


def report(outcome: Outcome) -> Group:
    """Fits 120 columns."""
    table = Table(box=None, padding=(0, 1))
    table.add_column(HEADINGS[0], no_wrap=True)
    for heading in HEADINGS[1:]:
        table.add_column(heading, justify="right")
    for row in _rows(outcome):
        table.add_row(*row)
    sums = [Text(f"{name:<29}{value}") for name, value in _sums(outcome)]
    complaints = [Text(complaint, style="red") for complaint in outcome.complaints]
    tables = [table, *_console(outcome)]
    return Group(*tables, *sums, *complaints, Text(_result(outcome), style="green" if outcome.is_good else "red"))


def _console(outcome: Outcome) -> Iterator[Table]:
    if outcome.visitor is None:
        return
    table = Table(box=None, padding=(0, 1))
    for heading in CONSOLE_HEADINGS:
        table.add_column(heading, justify="left" if heading in TEXTS else "right")
    for row in console_rows(outcome):
        table.add_row(*row)
    yield table


def markdown(outcome: Outcome, *, command: str, head: str) -> str:
    """The same with the command that repeats the run and what the run was made of."""
    lines = [f"# Chaos run: {_result(outcome)}", "", f"`{command}`", "", f"{head}.", ""]
    lines += [_row(HEADINGS), _row(["---", *["---:"] * (len(HEADINGS) - 1)]), *map(_row, _rows(outcome))]
    if rows := list(console_rows(outcome)):
        lines += ["", "The console, visited all the time:", "", _row(CONSOLE_HEADINGS)]
        lines += [_row([":---" if heading in TEXTS else "---:" for heading in CONSOLE_HEADINGS]), *map(_row, rows)]
    lines += ["", *(f"- {name}: {value}" for name, value in _sums(outcome))]
    if outcome.complaints:
        lines += ["", "What failed:", "", *(f"- {complaint}" for complaint in outcome.complaints)]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _rows(outcome: Outcome) -> Iterator[Sequence[str]]:
    for name in outcome.names:
        yield name, *_figures(outcome, name)


def _figures(outcome: Outcome, name: str) -> Sequence[str]:
    """What was published from this fault's beginning until the next one's."""
    incidents = outcome.of(name)
    published: set[int] = set()
    for incident in incidents:
        published |= outcome.load.record.between(incident.started, outcome.end(incident))
    verdict = outcome.verdict
    sets = (published, verdict.stored, verdict.lost, verdict.duplicated, verdict.lost_by_broker)
    took = [incident.took_s for incident in incidents]
    return (
        str(len(incidents)),
        *(str(len(published & numbers)) for numbers in sets),
        f"{median(took):.1f} ({max(took):.1f})",
    )


def _sums(outcome: Outcome) -> Iterator[tuple[str, str]]:
    verdict, shard = outcome.verdict, outcome.shard
    names = [incident.fault.name for incident in outcome.incidents]
    yield "faults", f"{len(names)}, {sum('kill -9' in name for name in names)} of them kill -9"
    yield "published (PUBACK received)", str(len(verdict.acknowledged))
    yield "stored, or a dead letter", str(len(verdict.acknowledged & verdict.stored))
    yield "lost by the pipeline", f"{len(verdict.lost)}{_reached(verdict.lost & verdict.reached)}"
    yield "duplicated", f"{len(verdict.duplicated)}  (a row too many, or stored and dead-lettered)"
    yield "damaged, or in a wrong table", str(len(verdict.damaged | verdict.invented))
    yield "lost by the broker", str(len(verdict.lost_by_broker))
    balance = f"{shard.added} added = {shard.stored} stored + {shard.dead_lettered} dead-lettered"
    again = shard.added - len(verdict.stored) - outcome.replayed
    yield (
        "ledger",
        f"{balance} + {shard.in_stream} in the stream; {again} of them were delivered again{_replayed(outcome)}",
    )
    yield "the stream at its longest", str(outcome.watch.highest)
    yield from console_sums(outcome)
    yield "took", f"{outcome.took_s:.0f} s"


def _replayed(outcome: Outcome) -> str:
    return f", {outcome.replayed} replayed with the console" if outcome.replayed else ""


def _reached(numbers: frozenset[int]) -> str:
    """Of what is missing, what a receiver was given; without its PUBACK, the broker had to keep it."""
    return f"  ({len(numbers)} of them reached a receiver's socket)" if numbers else ""


def _result(outcome: Outcome) -> str:
    return "nothing lost, nothing twice" if outcome.is_good else "FAILED"
