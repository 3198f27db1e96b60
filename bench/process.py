"""What processes cost: CPU of each with all its children, dead ones too, and the most memory that it had; and on which
cores they run."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

TICKS = os.sysconf("SC_CLK_TCK")  # 100 a second: what children took that have ended is right to 10 ms
_CPUCLOCK_SCHED = 2  # linux/posix-timers.h: the clock of all threads of a process, to the ns


class _Stat(NamedTuple):
    parent: int
    seconds: float  # its own, and of the children that it has waited for


class Halves(NamedTuple):
    """The cores of this machine in two parts."""

    servers: frozenset[int]
    services: frozenset[int]


def halves() -> Halves | None:
    """None where there is one core only."""
    cores = sorted(os.sched_getaffinity(0))
    half = len(cores) // 2
    return Halves(frozenset(cores[:half]), frozenset(cores[half:])) if half else None


def pin(pids: Iterable[int], cores: Collection[int]) -> None:
    """From now on these processes, all below them and what they start run on these cores only."""
    children = _children(_stats())
    for pid in pids:
        for each in _family(pid, children):
            for thread in Path(f"/proc/{each}/task").glob("*"):
                with suppress(ProcessLookupError):  # it ended meanwhile
                    os.sched_setaffinity(int(thread.name), cores)


def cpu_seconds(pids: Mapping[str, int]) -> dict[str, float]:
    """User and system time of each process and all below it, since they were started.

    A child that ended counts in its parent. A PostgreSQL is its postmaster: each backend, and each worker of an
    extension, is a child of it.
    """
    stats = _stats()
    children = _children(stats)
    return {name: sum(stats[each].seconds for each in _family(pid, children)) for name, pid in pids.items()}


def peak_mib(pid: int) -> float:
    """The most memory that the process has had resident."""
    status = Path(f"/proc/{pid}/status").read_text()
    kib = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return int(kib) / 1024


def _family(pid: int, children: Mapping[int, list[int]]) -> Iterator[int]:
    yield pid
    for child in children.get(pid, ()):
        yield from _family(child, children)


def _children(stats: Mapping[int, _Stat]) -> dict[int, list[int]]:
    found = defaultdict(list)
    for pid, stat in stats.items():
        found[stat.parent].append(pid)
    return found


def _stats() -> dict[int, _Stat]:
    found = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        pid = int(entry.parent.name)
        try:
            text, own = entry.read_text(), time.clock_gettime(~pid << 3 | _CPUCLOCK_SCHED)
        except OSError:  # it ended meanwhile
            continue
        # The name in parentheses may have spaces and parentheses of its own.
        fields = text.rpartition(")")[2].split()
        found[pid] = _Stat(int(fields[1]), own + sum(map(int, fields[13:15])) / TICKS)
    return found
