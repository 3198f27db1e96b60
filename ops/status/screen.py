"""What was found, for a person: from 40 columns on, each table as wide as what is in it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from rich.console import Group, RenderableType
from rich.text import Text

from ops.status.columns import duration, name, table_that_tells
from ops.status.consumers import consumers
from ops.status.flow import flow
from ops.status.part import Part, State
from ops.status.report import Status
from ops.status.verdict import verdicts
from shared.presence import Receiver

SILENT_S = 10.0  # a receiver speaks every 2 s
PIPE = 10_000  # columns and lines: nothing is wrapped or left out that a program is to read

_COLOURS = {State.UP: "green", State.SKIPPED: "dim"}


def screen(status: Status, width: int, height: int) -> Group:
    """Parts, receivers, consumers, streams, and whether the sums agree."""
    parts = [_part(part) for part in status.parts]
    if status.now is None:
        return _blocks(parts, [Text("streams, receivers and writers: not known without Redis", style="red")])
    receivers, sums = _receivers(status.receivers, width), [*verdicts(status)]
    tables = len(status.receivers or ()) + len(status.now) + 2  # with their headings
    left = height - _lines([*parts, *sums], width) - tables - 5  # blank lines, and one for the shell's prompt
    return _blocks(parts, [receivers], [consumers(status.now, width, left)], [flow(status, width)], sums)


def _lines(texts: Sequence[Text], width: int) -> int:
    return sum(-(-len(text) // width) for text in texts)


def _blocks(*blocks: Sequence[RenderableType]) -> Group:
    """With a blank line between two of them."""
    return Group(*chain.from_iterable([Text(), *block] if place else block for place, block in enumerate(blocks)))


def _part(part: Part) -> Text:
    told = f"{part.name:<9} {part.state.value:<8} {part.address}"
    return Text(f"{told}: {part.error}" if part.error else told, style=_COLOURS.get(part.state, "red"))


def _receivers(receivers: Sequence[Receiver] | None, width: int) -> RenderableType:
    if receivers is None:
        return Text("receivers: not to be seen: another type of key, or not for this user of Redis", style="yellow")
    if not receivers:
        return Text("no receiver is there", style="yellow")
    made = table_that_tells(width, "receiver", "broker", "in/s", "heard")
    for each in receivers:
        if each.silent_s > SILENT_S:
            made.add_row(name(each.client_id), "?", "?", f"{duration(each.silent_s)} ago", "silent", style="red")
        else:
            made.add_row(*_receiver(each), style="yellow" if each.waiting else "" if each.broker else "red")
    return made


def _receiver(each: Receiver) -> Sequence[RenderableType]:
    figures = "up" if each.broker else "away", f"{each.appended_per_s:.0f}", f"{duration(each.silent_s)} ago"
    return name(each.client_id), *figures, "waits for room" if each.waiting else ""
