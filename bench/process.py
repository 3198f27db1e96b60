"""What processes cost: CPU of each with all its children, dead ones too, and the most memory that it had."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

TICKS = os.sysconf("SC_CLK_TCK")  # 100 a second: a measurement of a second is right to 1 %


class _Stat(NamedTuple):
    parent: int
    ticks: int  # its own, and of the children that it has waited for


def cpu_seconds(pids: Mapping[str, int]) -> dict[str, float]:
    """User and system time of each process and all below it, since they were started.

    A child that ended counts in its parent. A PostgreSQL is its postmaster: each backend, and each worker of an
    extension, is a child of it.
    """
    stats = _stats()
    children = defaultdict(list)
    for pid, stat in stats.items():
        children[stat.parent].append(pid)
    return {name: _ticks(pid, stats, children) / TICKS for name, pid in pids.items()}


def peak_mib(pid: int) -> float:
    """The most memory that the process has had resident."""
    status = Path(f"/proc/{pid}/status").read_text()
    kib = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return int(kib) / 1024


def _ticks(pid: int, stats: Mapping[int, _Stat], children: Mapping[int, list[int]]) -> int:
    below = sum(_ticks(child, stats, children) for child in children.get(pid, ()))
    return stats[pid].ticks + below


def _stats() -> dict[int, _Stat]:
    found = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = entry.read_text()
        except OSError:  # it ended meanwhile
            continue
        # The name in parentheses may have spaces and parentheses of its own.
        fields = text.rpartition(")")[2].split()
        found[int(entry.parent.name)] = _Stat(int(fields[1]), sum(map(int, fields[11:15])))
    return found
