"""With which mappings the processes run, and where they differ: what a receiver subscribes to, and no writer knows,
becomes dead letters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.text import Text

from traksense_ingest.ops.terminal import printable
from traksense_ingest.shared.listing import listed
from traksense_ingest.shared.mapping.load import BUILT_IN, LAST
from traksense_ingest.shared.streams.heartbeat import Digests, Receiver, Writer, running

SHIPPED = frozenset({*BUILT_IN, *LAST})  # which every process has
PROCESSES_MAX = 5  # lines; --json has all of them
DIGEST = 8  # characters of it

Group = tuple[Digests, list[str]]  # the mappings, and the processes that run with them


def failed_reloads(receivers: Sequence[Receiver] | None, writers: Sequence[Writer] | None) -> list[tuple[str, str]]:
    """The processes that run and whose last reload failed, and why."""
    return [(name, each.reload_error) for name, each in running(receivers, writers) if each.reload_error]


def groups(receivers: Sequence[Receiver] | None, writers: Sequence[Writer] | None) -> list[Group]:
    """The processes that run, by their mappings: those of most processes first."""
    found: dict[tuple[tuple[str, str], ...], Group] = {}
    for name, each in running(receivers, writers):
        if each.mappings is not None:
            found.setdefault(tuple(sorted(each.mappings.items())), (each.mappings, []))[1].append(name)
    return sorted(found.values(), key=lambda group: -len(group[1]))


def failed_reload_lines(found: Sequence[tuple[str, str]]) -> Iterator[Text]:
    """A line for each process that runs with older mappings than its files have."""
    for name, error in found[:PROCESSES_MAX]:
        yield Text(f"{printable(name)}: its last reload failed, see its log: {printable(error)}", style="red")
    if len(found) > PROCESSES_MAX:
        yield Text(f"and {len(found) - PROCESSES_MAX} more processes", style="red")


def mapping_lines(found: Sequence[Group]) -> Iterator[Text]:
    """One line where all have the same, none where these are the ones that are always there; else a line for each group
    of processes with what it has and others have not."""
    if len(found) > 1:
        yield Text(
            "receivers and writers run with different mappings: give them the same files and SIGHUP", style="red"
        )
        for mappings, names in found:
            yield Text(
                f"{listed_processes(names)}: {_listed(_differing(mappings, found)) or 'none of these'}", style="yellow"
            )
    elif found and (named := {name: digest for name, digest in found[0][0].items() if name not in SHIPPED}):
        yield Text(f"mappings: {_listed(named)}")


def as_json(found: Sequence[Group], failed: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Whether all processes have the same, each group, and whose last reload failed."""
    return {
        "same": len(found) < 2,
        "groups": [{"mappings": dict(mappings), "processes": names} for mappings, names in found],
        "failed_reloads": [{"process": name, "error": error} for name, error in failed],
    }


def own_mappings(mappings: Digests | None) -> str:
    """The mappings that are not part of every process, each with the beginning of its digest."""
    return _listed({name: digest for name, digest in (mappings or {}).items() if name not in SHIPPED})


def _differing(mappings: Digests, found: Sequence[Group]) -> Mapping[str, str]:
    return {name: digest for name, digest in mappings.items() if any(others.get(name) != digest for others, _ in found)}


def _listed(mappings: Mapping[str, str]) -> str:
    return ", ".join(f"{printable(name)} {printable(digest[:DIGEST])}" for name, digest in mappings.items())


def listed_processes(names: Sequence[str]) -> str:
    """Some of them, and how many more there are."""
    return listed(map(printable, names))
