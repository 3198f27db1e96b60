"""How many of a device's messages count for its interval, and what a batch says of its clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from traksense_ingest.writer.decode.measures import Measures
from traksense_ingest.writer.outcome import Sighting
from traksense_ingest.writer.store.device_state import heard
from traksense_ingest.writer.store.devices import DeviceRegistry, DeviceRow, one_of_each_device

START = datetime(2025, 10, 7, tzinfo=UTC)
DAY = 86_400.0

Message = tuple[float, float | None]  # when it was received and what time it has, in seconds since START


def at(second: float) -> datetime:
    return START + timedelta(seconds=second)


def store(registry: DeviceRegistry, *messages: Message, device: str = "d") -> list[DeviceRow]:
    """One batch; returns the rows that are written with it."""
    received = [Sighting("t", device, "s", None, at(second)) for second, _ in messages]
    readings = ((("p", 1.0, None, None, None),),)
    measures = [Measures("t", device, at(ts), None, *readings) for _, ts in messages if ts is not None]
    sightings = one_of_each_device(received)
    of_batch = heard(received, len(sightings), measures)
    due = registry.due(sightings)
    rows = registry.rows(due, of_batch)
    registry.committed(sightings, due, [], of_batch)
    return rows


def counted(*batches: list[Message]) -> list[int]:
    """Of each row that these batches write, how many messages it counts."""
    registry = DeviceRegistry()
    return [row.messages for batch in batches for row in store(registry, *batch)]


def regular(first: float, last: float, step: float, late: float = 0) -> list[list[Message]]:
    """A message a batch, each so much later than its time."""
    count = int((last - first) / step) + 1
    return [[(first + number * step, first + number * step - late)] for number in range(count)]


def test_a_row_counts_the_messages_since_the_one_before() -> None:
    assert counted(*regular(0, 120, 10)) == [0, 6, 6]
    assert counted(*regular(0, 7200, 3600)) == [0, 1, 1]


def test_a_batch_with_several_messages_counts_each() -> None:
    backlog: list[list[Message]] = [
        [(10.0 * number, 10.0 * number) for number in range(first, first + 3)] for first in range(0, 12, 3)
    ]
    assert counted(*backlog) == [0, 6]


def test_messages_less_than_a_second_apart_are_one() -> None:
    burst: list[Message] = [(0.01 * number, 0.0) for number in range(10)]
    later: list[Message] = [(600 + 0.01 * number, 600.0) for number in range(10)]
    assert counted(burst, later) == [0, 1]
    assert counted(*[[one] for one in (*burst, *later)]) == [0, 1]


def test_readings_of_an_outage_that_come_all_at_once_do_not_count() -> None:
    """A day of readings, one for every ten minutes, within a minute and a half."""
    late: list[list[Message]] = [[(DAY + 0.625 * number, 600.0 * number)] for number in range(144)]
    assert counted([(0, 0.0)], *late) == [0, 1, 0]
    assert counted([(0, 0.0)], [one for batch in late for one in batch]) == [0, 1], "in one batch"


def test_an_old_reading_among_current_ones_does_not_count() -> None:
    batches = regular(0, 60, 10)
    batches.insert(4, [(35.0, -5000.0)])
    assert counted(*batches) == [0, 5], "nor the one after it"


def test_a_device_whose_clock_is_wrong_counts_as_any_other() -> None:
    assert counted(*regular(0, 120, 10, late=3 * 3600)) == [0, 6, 6]
    assert counted(*regular(0, 120, 10, late=-3 * 3600)) == [0, 6, 6]


def test_a_clock_that_is_set_back_costs_one_message() -> None:
    assert counted(*regular(0, 30, 10), *regular(40, 130, 10, late=3600)) == [0, 5, 6]


def test_a_device_without_telemetry_counts_too() -> None:
    assert counted([(0, None)], [(30, None)], [(60, None)]) == [0, 2]


def test_a_row_has_the_newest_reading_and_its_delay() -> None:
    registry = DeviceRegistry()
    (row,) = store(registry, (10, 3.0), (11, 9.5), (12, 4.0))
    assert (row.reading, row.delay_s) == (at(9.5), 2.5)
    (row,) = store(registry, (80, None))
    assert (row.reading, row.delay_s) == (None, None)


def test_what_is_not_committed_is_counted_once() -> None:
    registry = DeviceRegistry()
    store(registry, (0, 0.0))
    store(registry, (30, 30.0))
    again = one_of_each_device([Sighting("t", "d", "s", None, at(60))])
    assert registry.rows(again, heard(again, 1, []))[0].messages == 2
    assert [row.messages for row in store(registry, (60, 60.0))] == [2]


def test_a_postponed_change_takes_the_count_with_it() -> None:
    registry = DeviceRegistry()
    store(registry, (0, 0.0))
    store(registry, (2, 2.0))
    store(registry, (4, 4.0))
    moved = [Sighting("t", "d", "elsewhere", None, at(4.5))]
    registry.committed(moved, [], [])
    overdue = registry.overdue(at(9))
    assert [row.messages for row in registry.rows(overdue)] == [2]
    registry.written(overdue)
    assert [row.messages for row in store(registry, (70, 70.0))] == [1]


def test_devices_of_a_batch_are_apart() -> None:
    sightings = [Sighting("t", name, "s", None, at(second)) for second, name in enumerate("aab")]
    found = heard(sightings, 2, [Measures("t", name, at(1), None, ()) for name in "ab"])
    assert found.several == {("t", "a"): (2, timedelta(seconds=1), timedelta())}
    assert found.readings == {("t", "a"): at(1), ("t", "b"): at(1)}
