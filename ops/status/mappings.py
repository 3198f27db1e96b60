"""With which mappings the processes run, and where they differ: what a receiver subscribes to, and no writer knows,
becomes dead letters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.text import Text

from traksense_ingest.ops.terminal import printable
from traksense_ingest.shared.mapping.load import BUILT_IN, LAST
from traksense_ingest.shared.streams.heartbeat import Digests, Receiver, Writer

SHIPPED = frozenset({*BUILT_IN, *LAST})  # which every process has
NAMES_MAX = 5  # processes in a line; --json has all of them
DIGEST = 8  # characters of it

Group = tuple[Digests, list[str]]  # the mappings, and the processes that run with them


def groups(receivers: Sequence[Receiver] | None, writers: Sequence[Writer] | None) -> list[Group]:
    """The processes that run, by their mappings: those of most processes first."""
    running = [(f"receiver {each.client_id}", each.mappings) for each in receivers or () if not each.is_gone]
    running += [(f"writer {each.name}", each.mappings) for each in writers or ()]
    found: dict[tuple[tuple[str, str], ...], Group] = {}
    for name, mappings in running:
        if mappings is not None:
            found.setdefault(tuple(sorted(mappings.items())), (mappings, []))[1].append(name)
    return sorted(found.values(), key=lambda group: -len(group[1]))


def mapping_lines(found: Sequence[Group]) -> Iterator[Text]:
    """One line where all have the same, none where these are the ones that are always there; else a line for each group
    of processes with what it has and others have not."""
    if len(found) > 1:
        yield Text(
            "receivers and writers run with different mappings: give them the same files and SIGHUP", style="red"
        )
        for mappings, names in found:
            yield Text(
                f"{_processes(names)}: {_listed(_differing(mappings, found)) or 'none of these'}", style="yellow"
            )
    elif found and (named := {name: digest for name, digest in found[0][0].items() if name not in SHIPPED}):
        yield Text(f"mappings: {_listed(named)}")


def as_json(found: Sequence[Group]) -> dict[str, Any]:
    """Whether all processes have the same, and each group."""
    return {
        "same": len(found) < 2,
        "groups": [{"mappings": dict(mappings), "processes": names} for mappings, names in found],
    }


def _differing(mappings: Digests, found: Sequence[Group]) -> Mapping[str, str]:
    return {name: digest for name, digest in mappings.items() if any(others.get(name) != digest for others, _ in found)}


def _listed(mappings: Mapping[str, str]) -> str:
    return ", ".join(f"{printable(name)} {printable(digest[:DIGEST])}" for name, digest in mappings.items())


def _processes(names: Sequence[str]) -> str:
    shown = ", ".join(map(printable, names[:NAMES_MAX]))
    return f"{shown} and {len(names) - NAMES_MAX} more" if len(names) > NAMES_MAX else shown
