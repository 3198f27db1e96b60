"""What processes did, how long it took, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Measured:
    """Points that were received or stored."""

    points: int
    seconds: float
    cpu: Mapping[str, float]  # seconds by role: writer, postgres, redis; of a cluster redis-1, redis-2, …
    peak_mib: Mapping[str, float]  # the most memory that a process of each service has had
    idle: Mapping[str, float] = field(default_factory=dict)  # CPU seconds a second by role, with nothing to do

    @property
    def rate(self) -> float:
        """Points/s."""
        return self.points / self.seconds

    def cost(self, role: str) -> float:
        """CPU µs a point of one role; 0 where it isn't a process of ours."""
        return self.cpu.get(role, 0.0) * 1e6 / self.points

    def busy_cost(self, role: str) -> float:
        """The same without what the role takes when idle."""
        return self.cost(role) - self.idle.get(role, 0.0) * self.seconds * 1e6 / self.points

    @property
    def cost_of_all(self) -> float:
        """CPU µs a point of all of them together."""
        return sum(map(self.cost, self.cpu))

    @property
    def cores(self) -> float:
        """How many cores all of them together kept busy."""
        return sum(self.cpu.values()) / self.seconds

    @property
    def nodes(self) -> list[float]:
        """Busy cost of each node of Redis, for all points, not only its own."""
        return [self.busy_cost(role) for role in self.cpu if role.startswith("redis")]


def spent(before: Mapping[str, float], after: Mapping[str, float], *others: str) -> dict[str, float]:
    """CPU by role between two times; without those of other roles, which had no part in it."""
    return {role: after[role] - before[role] for role in after if role not in others}
