"""All figures of a run, as a value and as JSON, with what they were measured on: nothing that names a host."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.figure import Figure
from bench.scenario import Plan


@dataclass(frozen=True)
class Machine:
    """A computer and its Python."""

    cores: int
    cpu: str
    memory_gib: float
    python: str

    def __str__(self) -> str:
        return f"{self.cores} cores of {self.cpu}, {self.memory_gib} GiB, Python {self.python}"


def this_machine() -> Machine:
    """The one that this runs on."""
    return Machine(
        cores=len(os.sched_getaffinity(0)),
        cpu=_cpu(),
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        python=platform.python_version(),
    )


def _cpu() -> str:
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return names[0].partition(":")[2].strip() if names else platform.machine()


@dataclass(frozen=True)
class Results:
    """What was measured, on what, and what could not be."""

    at: datetime
    machine: Machine
    servers: Mapping[str, str]  # versions
    plan: Plan
    figures: Sequence[Figure]
    impossible: Mapping[str, str]  # scenario: why

    @property
    def are_met(self) -> bool:
        """Whether every target is."""
        return all(figure.is_met is not False for figure in self.figures)

    def to_json(self) -> str:
        """For machines, and for comparing two runs."""
        document = {
            "at": self.at.isoformat(timespec="seconds"),
            "machine": asdict(self.machine),
            "servers": dict(self.servers),
            "rounds": self.plan.rounds,
            "scale": self.plan.scale,
            "figures": [_figure(figure) for figure in self.figures],
            "impossible": dict(self.impossible),
        }
        return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def _figure(figure: Figure) -> dict[str, Any]:
    return {
        "scenario": figure.scenario,
        "name": figure.name,
        "unit": figure.unit,
        "median": figure.median,
        "min": min(figure.values),
        "max": max(figure.values),
        "values": figure.values,
        "target": None if figure.target is None else str(figure.target),
        "met": figure.is_met,
    }
