"""The outcome as a table, a line for each fault."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from rich.console import Group
from rich.table import Table
from rich.text import Text

from tests.chaos.run import Incident, Outcome


def report(outcome: Outcome) -> Group:
    """Fits 120 columns."""
    table = Table(box=None, padding=(0, 1))
    table.add_column("fault", no_wrap=True)
    for heading in ("times", "published", "stored", "lost", "duplicated", "lost by broker", "recovery s (max)"):
        table.add_column(heading, justify="right")
    for name in sorted({incident.fault.name for incident in outcome.incidents}):
        table.add_row(name, *_figures(outcome, name))
    return Group(table, *_sums(outcome))


def _figures(outcome: Outcome, name: str) -> Sequence[str]:
    """What was published from this fault's beginning until the next one's."""
    incidents = [incident for incident in outcome.incidents if incident.fault.name == name]
    published: set[int] = set()
    for incident in incidents:
        published |= outcome.load.record.between(incident.begun, _end(outcome, incident))
    verdict = outcome.verdict
    sets = (published, verdict.stored, verdict.lost, verdict.duplicated, verdict.lost_by_broker)
    took = [incident.took_s for incident in incidents]
    return (
        str(len(incidents)),
        *(str(len(published & numbers)) for numbers in sets),
        f"{median(took):.1f} ({max(took):.1f})",
    )


def _end(outcome: Outcome, incident: Incident) -> float:
    later = [other.begun for other in outcome.incidents if other.begun > incident.begun]
    return min(later, default=float("inf"))


def _sums(outcome: Outcome) -> list[Text]:
    verdict, shard, forgotten = outcome.verdict, outcome.shard, outcome.verdict.lost_by_broker
    sums = (
        f"{shard.added} added = {shard.stored} stored + {shard.dead_lettered} dead-lettered + {shard.in_stream} there"
    )
    lines = [
        f"published (PUBACK received)  {len(verdict.acknowledged)}",
        f"stored, or a dead letter     {len(verdict.acknowledged & verdict.stored)}",
        f"lost by the pipeline         {len(verdict.lost)}{_reached(verdict.lost & verdict.reached)}",
        f"duplicated                   {len(verdict.duplicated)}  (a row too many, or stored and dead-lettered)",
        f"damaged, or out of place     {len(verdict.damaged | verdict.invented)}",
        f"lost by the broker           {len(forgotten)}{_reached(forgotten & verdict.reached)}",
        f"ledger                       {sums}; {shard.added - len(verdict.stored)} of them came again",
        f"the stream at its longest    {outcome.watch.highest}",
        f"took                         {outcome.took_s:.0f} s",
    ]
    style = "green" if outcome.is_good else "red"
    return [*map(Text, lines), *(Text(complaint, style="red") for complaint in outcome.complaints), _result(style)]


def _reached(numbers: frozenset[int]) -> str:
    """Of what is missing, what a receiver was given; without its PUBACK, the broker had to keep it."""
    return f"  ({len(numbers)} of them reached a receiver's socket)" if numbers else ""


def _result(style: str) -> Text:
    return Text("nothing lost, nothing twice" if style == "green" else "FAILED", style=style)
