"""A point is written when it is new to the process, and once an hour; what is kept of points is small and bounded."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest

from traksense_ingest.writer.decode.measures import Measures
from traksense_ingest.writer.outcome import Sighting
from traksense_ingest.writer.store import devices, points
from traksense_ingest.writer.store.devices import DeviceRegistry
from traksense_ingest.writer.store.points import NewPoints, PointsRow, rows_of

START = datetime(2025, 10, 7, tzinfo=UTC)


def at(second: float) -> datetime:
    return START + timedelta(seconds=second)


def message(names: Iterable[str], device: str = "d", second: float = 0, unit: str | None = None) -> Measures:
    return Measures("t", device, at(second), None, tuple((name, 1.0, None, None, unit) for name in names))


def write(registry: DeviceRegistry, *batch: Measures) -> list[str]:
    """What is written of a batch that is committed: device/point."""
    sightings = [Sighting(one.tenant_id, one.device_id, "s", None, one.ts) for one in batch]
    due, new = registry.due(sightings), registry.new_points(batch)
    registry.committed(sightings, due, new)
    return [f"{one.device_id}/{name}" for one in new for name, _ in one.units]


def test_a_point_is_written_once() -> None:
    registry = DeviceRegistry()
    assert write(registry, message("ab")) == ["d/a", "d/b"]
    assert write(registry, message("ab"), message("ba")) == []
    assert write(registry, message("abc")) == ["d/c"]
    assert write(registry, message("abc"), message("a", device="other")) == ["other/a"]


def test_of_several_readings_of_a_point_the_first_one_counts() -> None:
    new = DeviceRegistry().new_points([message("b", second=2, unit="°C"), message("ba", second=1, unit="°F")])
    assert new == [NewPoints("t", "d", at(2), (("b", "°C"),)), NewPoints("t", "d", at(1), (("a", "°F"),))]


def test_rows_are_in_the_order_of_their_key() -> None:
    new = DeviceRegistry().new_points([message("ba", unit='"'), message("c", device="c")])
    assert rows_of(new) == [
        PointsRow("t", "c", at(0), '{"c"}', "{NULL}"),
        PointsRow("t", "d", at(0), '{"a","b"}', r'{"\"","\""}'),
    ]


def test_what_was_not_committed_is_new_again() -> None:
    registry = DeviceRegistry()
    write(registry, message("a"))
    assert registry.new_points([message("ab")]) == registry.new_points([message("ab")]) != []


def test_a_device_that_is_not_known_has_its_points_written_each_time() -> None:
    """One that only retained or replayed messages are of: they say nothing of what is so now."""
    registry = DeviceRegistry()
    registry.committed([], [], registry.new_points([message("a")]))
    assert write(registry, message("a")) == ["d/a"]


def test_a_change_of_the_device_forgets_no_point() -> None:
    registry = DeviceRegistry()
    write(registry, message("a"))
    registry.written([Sighting("t", "d", "elsewhere", None, at(10))])
    assert write(registry, message("a", second=11)) == []


def test_once_an_hour_a_device_has_its_points_written_again_but_not_all_devices_at_once() -> None:
    registry, names = DeviceRegistry(), [f"d{number}" for number in range(100)]
    for name in names:
        write(registry, message("ab", device=name))
    minutes = {
        minute: sum(len(write(registry, message("ab", device=name, second=60 * minute))) for name in names)
        for minute in range(1, 63)
    }
    assert 200 <= sum(minutes.values()) <= 220, "each point once, and a few that are due again"
    assert max(minutes.values()) < 40


def test_devices_with_the_same_points_share_what_is_kept() -> None:
    def kept(points_of: dict[int, str]) -> int:
        tracemalloc.start()
        registry = DeviceRegistry()
        for number in range(1_000):
            names = [f"{points_of.get(number, 'p')}{place}" for place in range(10)]
            write(registry, message(names, device=f"{number}-device"))
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert registry.new_points([message([f"{points_of.get(7, 'p')}3"], device="7-device")]) == []
        return size

    same, different = kept({}), kept({number: f"{number}-" for number in range(1_000)})
    assert same < 420 * 1_000
    assert different > 3 * same, "the test sees a difference"


def test_what_is_kept_is_bounded_and_what_was_forgotten_is_written_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(points, "REMEMBERED", 1_000)
    registry = DeviceRegistry()
    for number in range(500):
        write(registry, message([f"{number}-{place}" for place in range(10)], device=f"d{number}"))
    assert registry._sets._names <= 1_000
    assert write(registry, message(["499-3"], device="d499")) == []
    assert write(registry, message(["7-3"], device="d7")) == ["d7/7-3"]


def test_a_device_that_makes_up_names_forgets_its_own_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(points, "REMEMBERED", 1_000)
    monkeypatch.setattr(points, "OF_ONE_DEVICE", 100)
    registry = DeviceRegistry()
    write(registry, message("ab", device="good"))
    for number in range(2_000):
        assert len(write(registry, message([f"p{number}"], device="bad"))) == 1
    assert write(registry, message("ab", device="good")) == []
    assert registry._sets._names <= 1_000


def test_devices_that_are_forgotten_keep_no_points(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "REMEMBERED", 100)
    registry = DeviceRegistry()
    for number in range(1_000):
        write(registry, message("ab", device=f"d{number}"))
    assert write(registry, message("ab", device="d999")) == []
    assert write(registry, message("ab", device="d1")) == ["d1/a", "d1/b"]
