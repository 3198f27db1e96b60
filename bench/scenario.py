"""What a scenario is: steps, each measured in several rounds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from bench.figure import Figure, Reading, Target
from bench.stage import Stage

Step = Callable[[], Awaitable[Sequence[Reading]]]


class Impossible(Exception):
    """These servers can't be measured like this; the message is the reason."""


@dataclass(frozen=True)
class Plan:
    """How much of it."""

    rounds: int = 5
    scale: float = 1.0

    def scaled(self, count: int, least: int = 1) -> int:
        """A size at this scale."""
        return max(least, round(count * self.scale))


def _nothing(_figures: Sequence[Figure]) -> Sequence[Reading]:
    return ()


@dataclass(frozen=True)
class Scenario:
    """Steps are taken one after the other, each in all its rounds: what is compared in a step is measured in turn."""

    name: str
    steps: Callable[[Stage, Plan], AsyncIterator[Step]]
    targets: dict[str, Target] = field(default_factory=dict)
    conclude: Callable[[Sequence[Figure]], Sequence[Reading]] = _nothing  # what follows from all steps together
