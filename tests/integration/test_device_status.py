"""The view device_status, and what a writer learns of a device: its interval, its clock, since when it is online."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from tests.support.shaped import login
from tests.support.stack import Stack
from traksense_ingest.shared import database
from traksense_ingest.writer.decode.measures import Measures
from traksense_ingest.writer.entry import Entry
from traksense_ingest.writer.outcome import Decoded, EventRow, Sighting
from traksense_ingest.writer.store.devices import DeviceRegistry
from traksense_ingest.writer.store.tables import Tables

pytestmark = pytest.mark.long  # of `make test-all`

READING = ("p", 1.0, None, None, None)
STATUS = "SELECT * FROM device_status ORDER BY device_id"
DEVICES = 10_000


class Clock:
    """Messages of devices at times before now."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def telem(self, ago: float, late: float = 0, device: str = "d", *, replayed: bool = False) -> Decoded:
        """Received so many seconds ago, and so much later than its reading."""
        seen = self.now - timedelta(seconds=ago)
        ts = seen - timedelta(seconds=late)
        entry = Entry("ingest:{0}", "1-0", b"t", b"{}", seen, 1, replayed=replayed)
        rows = Measures("t", device, ts, None, (READING,))
        return Decoded(entry, "telem", (Sighting("t", device, "s", None, seen),), ts, (rows,))

    def state(self, ago: float, *, online: bool, device: str = "d", connected: float | None = None) -> Decoded:
        """A state, or a last will with the time at which the device connected."""
        seen = self.now - timedelta(seconds=ago)
        ts = seen if connected is None else self.now - timedelta(seconds=connected)
        row = EventRow("t", device, f"{ts} {online}", "state", ts, json.dumps({"online": online}), seen)
        devices = (Sighting("t", device, "s", None, seen),) if online else ()
        return Decoded(Entry("ingest:{0}", "1-0", b"t", b"{}", seen, 1), "state", devices, ts, (row,))


@pytest.fixture
async def pool(stack: Stack) -> AsyncIterator[Any]:
    pool = await database.open_pool(stack.database_url, 1, 4)
    yield pool
    pool.terminate()


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def store(pool: Any, *messages: Decoded, writers: int = 1) -> None:
    """Each as a batch, by writers in turn."""
    tables = [Tables(pool, DeviceRegistry()) for _ in range(writers)]
    for number, message in enumerate(messages):
        await tables[number % writers].write([message])


async def status_of(pool: Any, device: str = "d") -> Any:
    return await pool.fetchrow("SELECT * FROM device_status WHERE device_id = $1", device)


def every(clock: Clock, step: float, first: float, last: float = 0, late: float = 0) -> list[Decoded]:
    """A message each `step` seconds, from `first` seconds ago to `last`."""
    count = int((first - last) / step) + 1
    return [clock.telem(first - number * step, late) for number in range(count)]


@pytest.mark.parametrize(("step", "count"), [(5.0, 200), (10.0, 60), (300.0, 20), (7200.0, 12)])
@pytest.mark.parametrize("writers", [1, 2, 3])
async def test_the_interval_is_learned_by_any_number_of_writers(
    pool: Any, clock: Clock, step: float, count: int, writers: int
) -> None:
    await store(pool, *every(clock, step, step * count), writers=writers)
    assert (await status_of(pool))["expected_interval_s"] == pytest.approx(step, rel=0.3)


async def test_a_new_writer_goes_on_with_what_was_learned(pool: Any, clock: Clock) -> None:
    messages = every(clock, 10, 1000)
    await store(pool, *messages[:80])
    await store(pool, *messages[80:])
    assert (await status_of(pool))["expected_interval_s"] == pytest.approx(10, rel=0.2)


async def test_a_device_that_was_seen_once_has_no_interval_yet(pool: Any, clock: Clock) -> None:
    await store(pool, clock.telem(3600))
    found = await status_of(pool)
    assert (found["expected_interval_s"], found["status"]) == (None, "online")
    await pool.execute("UPDATE device SET last_seen = now() - interval '2 hours 2 min'")
    assert (await status_of(pool))["status"] == "late"
    await pool.execute("UPDATE device SET last_seen = now() - interval '5 hours 2 min'")
    assert (await status_of(pool))["status"] == "silent"


async def test_a_silence_changes_little_of_what_was_learned(pool: Any, clock: Clock) -> None:
    day = 86_400
    await store(pool, *every(clock, 60, day + 1800, day), clock.telem(0))
    assert (await status_of(pool))["expected_interval_s"] < 130
    await store(pool, clock.telem(-60), clock.telem(-120))


async def test_readings_of_an_outage_that_come_at_once_change_nothing(pool: Any, clock: Clock) -> None:
    live = every(clock, 300, 6000, 300)
    late = [clock.telem(150 - 0.5 * number, 86_400 - 300 * number) for number in range(280)]
    await store(pool, *live, *late)
    found = await status_of(pool)
    assert found["expected_interval_s"] == pytest.approx(300, rel=0.2)
    assert found["skew_s"] == pytest.approx(0, abs=0.01)


async def test_a_device_is_late_and_then_silent(pool: Any, clock: Clock) -> None:
    await store(pool, *every(clock, 60, 1200))
    (interval,) = await pool.fetchrow("SELECT interval_s::float8 FROM device")
    found = await status_of(pool)
    assert (found["status"], found["since"]) == ("online", clock.now - timedelta(seconds=1200))
    for ago, status, factor in ((2.2, "late", 2), (4.8, "late", 2), (5.2, "silent", 5), (900, "silent", 5)):
        await pool.execute("UPDATE device SET last_seen = now() - make_interval(secs => 60 + $1)", ago * interval)
        found = await status_of(pool)
        assert found["status"] == status
        assert found["since"] == found["last_seen"] + timedelta(seconds=60 + factor * interval)


async def test_what_is_set_by_hand_counts(pool: Any, clock: Clock) -> None:
    await store(pool, *every(clock, 60, 1200))
    await pool.execute("UPDATE device SET expected_interval_s = 7200, last_seen = now() - interval '3 hours'")
    found = await status_of(pool)
    assert (found["status"], found["expected_interval_s"]) == ("online", 7200)
    await store(pool, clock.telem(0))
    assert (await status_of(pool))["expected_interval_s"] == 7200, "a writer does not change it"
    with pytest.raises(asyncpg.CheckViolationError):
        await pool.execute("UPDATE device SET expected_interval_s = 0")


async def test_it_is_online_since_it_is_back(pool: Any, clock: Clock) -> None:
    await store(pool, *every(clock, 60, 7200, 3600), *every(clock, 60, 600))
    found = await status_of(pool)
    assert (found["status"], found["since"]) == ("online", clock.now - timedelta(seconds=600))


async def test_a_last_will_wins_over_silence(pool: Any, clock: Clock) -> None:
    """With the time at which it connected, as with its own; and also before the device would be late."""
    for number, connected in enumerate((None, 90.0)):
        device = f"d{number}"
        await store(
            pool, clock.telem(60, device=device), clock.state(30, online=False, device=device, connected=connected)
        )
        found = await status_of(pool, device)
        assert (found["status"], found["since"]) == ("offline", clock.now - timedelta(seconds=30))
        await pool.execute("UPDATE device SET last_seen = now() - interval '30 days'")
        assert (await status_of(pool, device))["status"] == "offline"


async def test_a_device_that_is_back_is_not_offline(pool: Any, clock: Clock) -> None:
    await store(pool, clock.telem(300), clock.state(200, online=False), clock.state(100, online=True))
    assert (await status_of(pool))["status"] == "online"
    await store(pool, clock.telem(300, device="e"), clock.state(200, online=False, device="e"))
    await store(pool, clock.telem(100, device="e"))
    assert (await status_of(pool, "e"))["status"] == "online", "without a state"


@pytest.mark.parametrize("off", [3 * 3600.0, -3 * 3600.0, 20 * 365 * 86_400.0])
async def test_a_clock_that_is_off_is_visible_at_once(pool: Any, clock: Clock, off: float) -> None:
    await store(pool, clock.telem(0, off))
    assert (await status_of(pool))["skew_s"] == pytest.approx(off, rel=1e-6)


async def test_the_skew_is_that_of_the_least_late_message(pool: Any, clock: Clock) -> None:
    lateness = (2.0, 3600.0, 0.5, 7200.0, 30.0)
    await store(pool, *(clock.telem(300 - 60 * number, late) for number, late in enumerate(lateness)))
    assert (await status_of(pool))["skew_s"] == pytest.approx(0.5)


@pytest.mark.parametrize(("before", "after"), [(0.0, 10_800.0), (10_800.0, 0.0), (-10_800.0, 0.0)])
async def test_a_clock_that_is_set_is_followed(pool: Any, clock: Clock, before: float, after: float) -> None:
    await store(pool, *every(clock, 60, 7200, 3600, before), *every(clock, 60, 3600 - 60, 0, after))
    assert (await status_of(pool))["skew_s"] == pytest.approx(after)


async def test_the_last_reading_is_the_newest(pool: Any, clock: Clock) -> None:
    await store(pool, clock.telem(200, 5), clock.telem(100, 500), clock.telem(300, 10, replayed=True))
    found = await status_of(pool)
    assert found["last_reading"] == clock.now - timedelta(seconds=205)
    assert found["skew_s"] == pytest.approx(5)
    await store(pool, clock.telem(3600, 10, "replayed", replayed=True))
    found = await status_of(pool, "replayed")
    assert (found["last_reading"], found["skew_s"]) == (clock.now - timedelta(seconds=3610), None)


async def test_a_reader_sees_the_devices_of_its_tenant(pool: Any, stack: Stack, clock: Clock) -> None:
    await store(pool, clock.telem(0))
    await pool.execute("INSERT INTO device VALUES ('other', 'x', 's', NULL, now(), now())")
    async with login(stack.database_url, "IN ROLE traksense_reader") as reader:
        assert await reader.fetch("SELECT * FROM tenant.device_status") == []
        await reader.execute("SELECT set_config('app.tenant_id', 't', false)")
        assert [row["device_id"] for row in await reader.fetch("SELECT * FROM tenant.device_status")] == ["d"]
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await reader.fetch(STATUS)


async def test_it_reads_devices_and_one_state_of_each(pool: Any, stack: Stack) -> None:
    await pool.execute(
        """INSERT INTO device SELECT 't' || n % 2, 'd' || n, 's', NULL, now(), now()
            FROM generate_series(1, $1::int) AS n""",
        DEVICES,
    )
    await pool.execute(
        """INSERT INTO device_event SELECT 't' || n % 2, 'd' || n, m::text, CASE m WHEN 1 THEN 'boot' ELSE 'state' END,
            now() - make_interval(mins => m), '{"online": true}' FROM generate_series(1, $1::int) AS n,
            generate_series(1, 5) AS m""",
        DEVICES // 5,
    )
    await pool.execute("VACUUM ANALYZE device")
    await pool.execute("VACUUM ANALYZE device_event")
    async with login(stack.database_url, "IN ROLE traksense_reader") as reader:
        await reader.execute("SELECT set_config('app.tenant_id', 't1', false)")
        text = await reader.fetchval("EXPLAIN (ANALYZE, FORMAT JSON) SELECT * FROM tenant.device_status")
    plan = json.loads(text)[0]["Plan"]
    scans = {node["Relation Name"]: node for node in nodes_of(plan) if "Relation Name" in node}
    assert scans.keys() - {"pg_authid"} == {"device", "device_event"}
    assert scans["device"]["Actual Rows"] == DEVICES // 2
    states = scans["device_event"]
    assert states["Index Name"] == "device_event_state"
    assert states["Actual Loops"] == DEVICES // 2
    assert states["Actual Rows"] <= 1
    assert "Filter" not in states, "a device may have any number of other events"


def nodes_of(plan: dict[str, Any]) -> Any:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes_of(below)
