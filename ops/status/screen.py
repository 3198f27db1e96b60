"""The status for a person: from 40 columns on, each table as wide as its content."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from rich.console import Console, Group, RenderableType
from rich.text import Text

from traksense_ingest.ops.status.dependency import Dependency, State
from traksense_ingest.ops.status.mappings import (
    failed_reload_lines,
    failed_reloads,
    groups,
    listed_processes,
    mapping_lines,
)
from traksense_ingest.ops.status.nodes import line_count as node_line_count
from traksense_ingest.ops.status.nodes import node_lines
from traksense_ingest.ops.status.processes import (
    consumers,
    count_running,
    count_writers,
    gone_receivers,
    running_receivers,
    running_writers,
    wait_lines,
)
from traksense_ingest.ops.status.report import Status
from traksense_ingest.ops.status.streams import backlogs, balances, line_count
from traksense_ingest.ops.status.verdict import BAD, GOOD, WARNING, verdict
from traksense_ingest.ops.terminal import printable

PIPE = 10_000  # columns and lines: nothing is wrapped or left out for a program that reads it

_LEVELS = {GOOD: "green", WARNING: "yellow", BAD: "red"}
_COLOURS = {State.UP: "green", State.SKIPPED: "dim"}


def screen(status: Status, width: int, height: int) -> Group:
    """The verdict, dependencies, a cluster's nodes, receivers and which of them are gone, writers, what both can't use,
    consumers, streams, and whether their counts balance."""
    first = [_verdict(status)]
    dependencies = [_dependency(dependency) for dependency in status.dependencies]
    nodes = _nodes(status, width)
    gone, notes = (
        [*gone_receivers(status.receivers)],
        [*wait_lines(status.waits), *_shard_counts(status), *_mappings(status)],
    )
    processes = [running_receivers(status.receivers, width), *gone], running_writers(status.writers, width), notes
    if status.now is None and status.receivers is None:
        unknown = Text("streams, receivers and writers: not known without Redis", style="red")
        return _blocks(first, dependencies, *nodes, [unknown])
    if status.now is None:
        unknown = Text("streams: not known while one of them can't be read", style="red")
        return _blocks(first, dependencies, *nodes, *processes, [unknown])
    sums = [*balances(status), *_devices(status)]
    tables = count_running(status.receivers) + count_writers(status.writers) + line_count(status) + 3  # with headings
    tables += node_line_count(status.nodes) + 1 if status.nodes else 0
    # Seven more: blank lines, and one for the shell's prompt.
    left = height - _lines([*first, *dependencies, *gone, *notes, *sums], width) - tables - 7 - bool(notes)
    lanes, streams = consumers(status.now, width, left), backlogs(status, width)
    return _blocks(first, dependencies, *nodes, *processes, lanes, [streams], sums)


def plain(status: Status) -> str:
    """For a pipe: no colours, no line is wrapped, and none is left out."""
    console = Console(highlight=False, width=PIPE, color_system=None)
    with console.capture() as captured:
        console.print(screen(status, PIPE, PIPE))
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def _nodes(status: Status, width: int) -> list[list[RenderableType]]:
    """Of a cluster alone; the reason if it is one that can't be asked."""
    if status.nodes_error:
        return [[Text(f"nodes of the cluster: can't be read: {printable(status.nodes_error)}", style="yellow")]]
    return [node_lines(status.nodes, status.numbers, width)] if status.nodes else []


def _shard_counts(status: Status) -> Iterator[Text]:
    """Which processes have which INGEST_SHARDS, if it is not one number."""
    if len(status.shard_counts) > 1:
        text = "receivers and writers run with different INGEST_SHARDS: a device's messages may be stored out of order"
        yield Text(text, style="red")
        for count, names in status.shard_counts.items():
            yield Text(f"{count}: {listed_processes(names)}", style="yellow")


def _mappings(status: Status) -> Iterator[Text]:
    yield from mapping_lines(groups(status.receivers, status.writers))
    yield from failed_reload_lines(failed_reloads(status.receivers, status.writers))


def _devices(status: Status) -> Iterator[Text]:
    """How many devices there are, by status; nothing before the first one."""
    counts = status.devices or {}
    if any(counts.values()):
        words = ", ".join(f"{count} {name}" for name, count in counts.items())
        yield Text(f"devices: {words}", style="yellow" if counts["silent"] else "")


def _lines(texts: Sequence[Text], width: int) -> int:
    return sum(-(-len(text) // width) for text in texts)


def _blocks(*blocks: Sequence[RenderableType]) -> Group:
    """With a blank line between two of them; without the empty ones."""
    found = [block for block in blocks if block]
    return Group(*chain.from_iterable([Text(), *block] if index else block for index, block in enumerate(found)))


def _verdict(status: Status) -> Text:
    level, text = verdict(status)
    return Text(text, style=f"bold {_LEVELS[level]}")


def _dependency(dependency: Dependency) -> Text:
    line = f"{dependency.name:<9} {dependency.state.value:<11} {dependency.address}"
    colour = _COLOURS.get(dependency.state, "red")
    return Text(f"{line}: {dependency.error}" if dependency.error else line, style=colour)
