"""What is said and decided of many rejected messages: the share, the log, the clock. No servers."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.decoding import v1_routes
from traksense_ingest.shared.failure import Unusable
from traksense_ingest.shared.metrics import WriterMetrics
from traksense_ingest.shared.runtime.health import Component
from traksense_ingest.writer.decode.clock import EARLIEST, ClockWatch
from traksense_ingest.writer.entry import Entry, parse_entry
from traksense_ingest.writer.outcome import Decoded, Handled, HeldBack, Outcome, Rejected
from traksense_ingest.writer.watch.failure_log import DeadLetterLog
from traksense_ingest.writer.watch.rejected_share import RejectedShare

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.elapsed = 1000.0
        self.now = NOW

    def monotonic(self) -> float:
        return self.elapsed

    def utc(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def entry(device: str, ts: datetime, id_ms: int = 0) -> Entry:
    payload = b'{"schema":"v1","ts":"%s","points":[]}' % ts.isoformat().encode()
    return parse_entry(
        "s", b"%d-0" % id_ms, [b"topic", b"traksense/t/s/%s/telem" % device.encode(), b"payload", payload]
    )


def decoded(clock: Clock, max_future_s: int = 86_400, /, **ahead: float) -> list[Outcome]:
    """A message of each device, so many hours ahead of now."""
    decoder = v1_routes(10_000, max_future_s, clock.utc)
    return [decoder.decode(entry(device, NOW + timedelta(hours=hours))) for device, hours in ahead.items()]


def kinds(outcomes: list[Handled]) -> list[type[object]]:
    return [type(outcome) for outcome in outcomes]


@pytest.fixture
def component() -> Component:
    component = Component("clock", "", WriterMetrics())
    component.presume()
    return component


@pytest.fixture
def watch(component: Component, clock: Clock) -> ClockWatch:
    return ClockWatch(component, 86_400, clock.utc, clock.monotonic)


def test_three_devices_that_agree_say_that_the_clock_is_behind(watch: ClockWatch, clock: Clock) -> None:
    assert kinds([*watch.hold_back(decoded(clock, a=72, b=72.5, c=72.9))]) == [HeldBack] * 3
    clock.now = NOW + timedelta(days=3)
    watch.recheck()
    assert watch.recoveries == 1
    assert kinds([*watch.hold_back(decoded(clock, a=72, b=72.5, c=72.9))]) == [Decoded] * 3


async def test_it_stays_down_while_messages_are_held_back(
    watch: ClockWatch, component: Component, clock: Clock
) -> None:
    """Each lane checks the clock before each batch, which finds nothing wrong with it."""
    for _ in range(2):
        watch.hold_back(decoded(clock, a=72, b=72, c=72))
        component.up()
        assert not component.is_up
    clock.now = NOW + timedelta(days=3)
    watch.recheck()
    assert component.is_up


@pytest.mark.parametrize(("hours", "said"), [(72, "72 h"), (25.5, "25 h"), (1.5, "90 min")])
def test_by_how_much_the_clock_is_behind(component: Component, clock: Clock, hours: float, said: str) -> None:
    watch = ClockWatch(component, 600, clock.utc, clock.monotonic)
    held = watch.hold_back(decoded(clock, 600, a=hours, b=hours, c=hours))[0]
    assert isinstance(held, HeldBack)
    assert f"agree that it is {said} later" in str(held.fault)


@pytest.mark.parametrize(
    "ahead",
    [{"a": 72, "b": 72}, {"a": 72, "b": 72, "c": 74}, {"a": 72, "b": 72, "c": 72, "d": 0}],
    ids=["two devices", "they do not agree", "one is in range"],
)
def test_otherwise_it_is_the_devices(watch: ClockWatch, clock: Clock, ahead: dict[str, float]) -> None:
    assert HeldBack not in kinds([*watch.hold_back(decoded(clock, **ahead))])


def test_one_that_is_far_ahead_of_the_others_hides_no_clock(watch: ClockWatch, clock: Clock) -> None:
    ahead = {"a": 72, "b": 72, "c": 72.5, "odd": 90_000}
    assert kinds([*watch.hold_back(decoded(clock, **ahead))]) == [HeldBack] * 4
    clock.now = NOW + timedelta(days=3)
    watch.recheck()
    assert watch.recoveries == 1
    assert kinds([*watch.hold_back(decoded(clock, **ahead))]) == [Decoded] * 3 + [Rejected]


def test_one_in_range_says_so_for_ten_minutes(watch: ClockWatch, clock: Clock) -> None:
    watch.hold_back(decoded(clock, right=0))
    assert kinds([*watch.hold_back(decoded(clock, a=72, b=72, c=72))]) == [Rejected] * 3
    clock.elapsed += 601
    assert kinds([*watch.hold_back(decoded(clock, a=72, b=72, c=72))]) == [HeldBack] * 3
    watch.hold_back(decoded(clock, right=0))
    assert watch.recoveries == 1


async def test_before_this_program_was_made_nothing_is_believed(watch: ClockWatch, clock: Clock) -> None:
    clock.now = EARLIEST - timedelta(seconds=1)
    with pytest.raises(Unusable, match="set the clock"):
        await watch.check([entry("a", NOW)])
    await watch.check([entry("a", NOW, id_ms=int(NOW.timestamp() * 1000))])
    clock.now = EARLIEST
    await watch.check([entry("a", NOW)])


def test_the_share_is_of_the_last_minutes(clock: Clock) -> None:
    metrics = WriterMetrics()
    share = RejectedShare(metrics.rejected_share, None, clock.monotonic)
    assert metrics.registry.get_sample_value("ingest_rejected_share") == 0
    share.committed(decoded(clock, a=0, b=0, c=0, d=72))  # type: ignore[arg-type]
    assert metrics.registry.get_sample_value("ingest_rejected_share") == 0.25
    clock.elapsed += 400
    assert share.share() == 0


def test_the_limit_needs_a_hundred_messages_and_lasts(clock: Clock) -> None:
    share = RejectedShare(WriterMetrics().rejected_share, 0.5, clock.monotonic)
    bad, good = decoded(clock, a=72, b=0)
    assert share.exceeded_by([bad] * 99) is None  # type: ignore[list-item]
    share.committed([good] * 100)  # type: ignore[list-item]
    assert share.exceeded_by([bad] * 100) is None  # type: ignore[list-item]
    fault = share.exceeded_by([bad] * 101)  # type: ignore[list-item]
    assert "50% of the last 201 would be dead letters" in str(fault)
    assert "out_of_range: ts: " in str(fault)
    assert share.exceeded_by([good]) is fault  # type: ignore[list-item]


def test_dead_letters_have_a_line_a_minute(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    log, batch = DeadLetterLog(clock.monotonic), decoded(clock, a=72)
    with caplog.at_level(logging.WARNING):
        log.add({"out_of_range": 1}, batch)  # type: ignore[arg-type]
        for _ in range(5):
            log.add({"out_of_range": 2, "parse_error": 1}, batch)  # type: ignore[arg-type]
        assert len(caplog.records) == 1
        clock.elapsed += 61
        log.flush_if_due()
        log.flush()
    first, second = (record.getMessage() for record in caplog.records)
    assert first.startswith(
        "dead letters: 1 (out_of_range: 1), for example s 0-0, topic 'traksense/t/s/a/telem': out_of"
    )
    assert second.startswith("dead letters: 15 (out_of_range: 10, parse_error: 5), for example s 0-0, ")
