"""A figure: what several rounds measured, its median, minimum and maximum, and the target that it is held to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple


class Reading(NamedTuple):
    """What one round measured."""

    name: str
    value: float
    unit: str


@dataclass(frozen=True)
class Target:
    """A bound that a figure's median is to keep."""

    bound: float
    is_least: bool  # else it is the most that is allowed

    def is_met(self, value: float) -> bool:
        """Whether a value keeps it; the bound itself does."""
        return value >= self.bound if self.is_least else value <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.is_least else '≤'} {self.bound:g}"


@dataclass(frozen=True)
class Figure:
    """The readings of one name, a value for each round."""

    scenario: str
    name: str
    unit: str
    values: tuple[float, ...]
    target: Target | None = None

    @property
    def median(self) -> float:
        """The middle one: a round that something else disturbed moves it little."""
        return median(self.values)

    @property
    def is_met(self) -> bool | None:
        """Whether the median keeps the target; None without one."""
        return None if self.target is None else self.target.is_met(self.median)


def at_least(bound: float) -> Target:
    """A target from below."""
    return Target(bound, is_least=True)


def at_most(bound: float) -> Target:
    """A target from above."""
    return Target(bound, is_least=False)


def figures_of(scenario: str, readings: Iterable[Reading], targets: dict[str, Target]) -> list[Figure]:
    """The readings of all rounds by name, in the order in which the names came first."""
    by_name: dict[tuple[str, str], list[float]] = {}
    for reading in readings:
        by_name.setdefault((reading.name, reading.unit), []).append(reading.value)
    return [Figure(scenario, name, unit, tuple(values), targets.get(name)) for (name, unit), values in by_name.items()]
