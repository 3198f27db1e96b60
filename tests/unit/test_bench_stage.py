"""When the clock of a measurement starts and stops, and when it is given up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench import stage
from bench.shape import AGAIN_AFTER, Shape, with_repetitions
from bench.stage import Stuck, just_before, reached, still


async def test_the_clock_starts_before_anything_moved() -> None:
    backlog, snapshots = iter([10, 10, 10, 7]), iter("abcdefgh")

    async def measure() -> int:
        return next(backlog)

    # Snapshots a, then before each measurement b, c, d, e: d is the last one that was over while nothing had moved.
    assert await just_before(measure, lambda entries: entries < 10, lambda: next(snapshots)) == "d"


async def test_what_stands_still_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "STUCK_S", 0.0)

    async def measure() -> int:
        return 3

    with pytest.raises(Stuck, match="stopped at 3"):
        await reached(measure, lambda entries: entries == 0)
    assert await reached(measure, lambda entries: entries == 3) == 3


async def test_the_end_is_when_the_last_change_was_before_all_was_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "STILL_S", 0.0)
    positions, done, now = iter([1, 2, 2, 3, 3, 3]), iter([False, False, True]), iter(range(100))
    monkeypatch.setattr(stage, "time", Clock(now))

    async def measure() -> int:
        return next(positions)

    async def is_done() -> bool:
        return next(done)

    # The clock is read at the start and at each measurement: 3 is there from the fourth one on.
    assert await still(measure, is_done) == 4


async def test_what_never_gets_done_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "STILL_S", 0.0)
    monkeypatch.setattr(stage, "STUCK_S", 0.0)

    async def measure() -> int:
        return 3

    async def never() -> bool:
        return False

    with pytest.raises(Stuck):
        await still(measure, never)


class Clock:
    """A `time` that goes on by a second at each look."""

    def __init__(self, seconds: Iterator[int]) -> None:
        self._seconds = seconds

    def perf_counter(self) -> float:
        return float(next(self._seconds))


def test_what_is_repeated_comes_once_more_some_messages_later() -> None:
    shape = Shape(AGAIN_AFTER + 5)
    once = list(shape.encoded(range(shape.messages)))
    twice = list(with_repetitions(shape, {0, AGAIN_AFTER + 1}))
    assert twice == [*once[: AGAIN_AFTER + 1], once[0], *once[AGAIN_AFTER + 1 :], once[AGAIN_AFTER + 1]]
