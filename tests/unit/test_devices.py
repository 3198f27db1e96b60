"""A device's row is written when it is new, when it changed, and once a minute."""

from __future__ import annotations

import tracemalloc
from datetime import UTC, datetime, timedelta

import pytest

from traksense_ingest.writer.outcome import Sighting
from traksense_ingest.writer.store import devices
from traksense_ingest.writer.store.devices import DeviceRegistry, one_of_each_device

START = datetime(2025, 10, 7, tzinfo=UTC)


def seen(second: float, device: str = "d", site: str = "s", meta: str | None = None) -> Sighting:
    return Sighting("t", device, site, meta, START + timedelta(seconds=second))


def write(registry: DeviceRegistry, *batch: Sighting) -> list[Sighting]:
    sightings = one_of_each_device(batch)
    due = registry.due(sightings)
    registry.committed(sightings, due, [])
    return due


def at(second: float) -> datetime:
    return START + timedelta(seconds=second)


def test_a_new_device_is_written_once_with_its_latest() -> None:
    registry = DeviceRegistry()
    assert write(registry, seen(1), seen(2, meta='{"fw":1}'), seen(3)) == [seen(3, meta='{"fw":1}')]
    assert write(registry, seen(4)) == []
    assert registry.overdue(at(100)) == []


def test_last_seen_is_refreshed_once_a_minute() -> None:
    registry = DeviceRegistry()
    write(registry, seen(0))
    assert write(registry, seen(59)) == []
    assert write(registry, seen(60)) == [seen(60)]


def test_a_change_is_written_but_never_makes_a_hot_row() -> None:
    registry = DeviceRegistry()
    write(registry, seen(0))
    assert write(registry, seen(6, site="elsewhere")) == [seen(6, site="elsewhere")]
    assert write(registry, seen(7, site="back")) == []
    assert registry.overdue(at(10)) == []
    assert registry.overdue(at(11)) == [seen(7, site="back")], "withheld, not forgotten, though nothing more comes"
    registry.written(registry.overdue(at(11)))
    assert registry.overdue(at(100)) == []


def test_what_was_not_committed_is_due_again_and_troubles_no_other_batch() -> None:
    registry = DeviceRegistry()
    assert registry.due([seen(0)]) == [seen(0)]
    assert registry.due([seen(0)]) == [seen(0)]
    assert registry.due([seen(0, device="other")]) == [seen(0, device="other")]
    assert registry.overdue(at(100)) == []


def test_rows_are_sorted_by_key() -> None:
    due = DeviceRegistry().due([seen(0, device=name) for name in "cab"])
    assert [sighting.device_id for sighting in due] == ["a", "b", "c"]


def test_the_same_meta_again_is_no_change() -> None:
    registry = DeviceRegistry()
    write(registry, seen(0, meta="{}"))
    assert write(registry, seen(10, meta="{}"), seen(11)) == []
    assert write(registry, seen(12, meta='{"a":1}')) == [seen(12, meta='{"a":1}')]


def test_a_clock_that_steps_back_withholds_nothing() -> None:
    registry = DeviceRegistry()
    write(registry, seen(200_000))
    assert write(registry, seen(100_000)) == [seen(100_000)]
    assert write(registry, seen(0, site="elsewhere")) == [seen(0, site="elsewhere")]
    write(registry, seen(1, site="back"))
    assert registry.overdue(at(-100)) == [seen(1, site="back")]


def test_a_meta_of_a_megabyte_is_not_kept() -> None:
    registry = DeviceRegistry()
    meta = "x" * 2**20
    tracemalloc.start()
    for number in range(100):
        write(registry, seen(0, device=f"d{number}", meta=f"{meta}{number}"))
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 2**20
    assert write(registry, seen(10, device="d7", meta=f"{meta}7")) == [], "and yet it is known"


def test_what_is_kept_of_a_device_is_small_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "REMEMBERED", 2_000)
    registry = DeviceRegistry()
    tracemalloc.start()
    for number in range(2_000):
        device, site = f"{number}-device", "".join(["si", "te"])  # a new string each, as a message gives
        write(registry, seen(0, device=device, site=site))
    full, _ = tracemalloc.get_traced_memory()
    for number in range(2_000, 6_000):
        write(registry, seen(0, device=f"{number}-device"))
    later, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert full < 400 * 2_000
    assert later < 1.3 * full  # a dictionary of as many has room for more at times
    assert write(registry, seen(1, device="2000-device")) != [], "long ago: written once more"
    assert write(registry, seen(1, device="5999-device")) == []
