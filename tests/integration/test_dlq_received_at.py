"""A dead letter keeps when its message was received, and its replay gives that back."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from tests.support import streams
from tests.support.dead_letters import TOPIC, dead_letter, dlq, entries, succeeds
from tests.support.stack import Stack, telem
from traksense_ingest.shared import database
from traksense_ingest.shared.streams.keys import key_of
from traksense_ingest.writer.decode.mapped.routes import MappedRoutes
from traksense_ingest.writer.entry import Entry, parse_entry
from traksense_ingest.writer.outcome import Decoded, Sighting
from traksense_ingest.writer.store.devices import DeviceRegistry
from traksense_ingest.writer.store.tables import Tables

pytestmark = pytest.mark.long

MS = 1_700_000_000_000  # what `dead_letter` gives each message
AT = datetime.fromtimestamp(MS / 1000, UTC)
GOOD = telem("dev", points=2)[1]


async def dead_letter_of_good(stack: Stack, *payloads: bytes) -> None:
    """Dead letters that a writer would store by now."""
    await dead_letter(stack, *((TOPIC, b"%d" % number) for number in range(len(payloads))))
    for number, payload in enumerate(payloads, 1):
        await stack.fetch("UPDATE ingest_errors SET payload = $2 WHERE id = $1", number, payload.decode())


async def test_a_dead_letter_says_when_its_message_was_received(stack: Stack) -> None:
    await dead_letter(stack, (TOPIC, b"x"))
    assert await stack.fetchval("SELECT received_at FROM ingest_errors") == AT
    (listed,) = json.loads(await succeeds(stack, "list", "--json"))["rows"]
    shown, exported = (
        json.loads(await succeeds(stack, "show", 1, "--json")),
        json.loads(await succeeds(stack, "export")),
    )
    assert [each["received_at"] for each in (listed, shown, exported)] == [AT.isoformat()] * 3
    assert "received    2023-11-14 22:13:20" in await succeeds(stack, "show", 1)
    await stack.execute("UPDATE ingest_errors SET received_at = NULL")
    assert json.loads(await succeeds(stack, "show", 1, "--json"))["received_at"] is None
    assert "received    –" in await succeeds(stack, "show", 1)


async def test_a_tenant_sees_it_too(stack: Stack) -> None:
    await dead_letter(stack, (TOPIC, b"x"))
    connection = await asyncpg.connect(stack.database_url, server_settings={"app.tenant_id": "t"})
    assert await connection.fetchval("SELECT received_at FROM tenant.ingest_errors") == AT
    await connection.execute("SET app.tenant_id = 'other'")
    assert await connection.fetch("SELECT * FROM tenant.ingest_errors") == []
    await connection.close()


async def test_a_replay_gives_it_back_and_says_that_it_is_one(stack: Stack) -> None:
    await dead_letter(stack, (TOPIC, b"1"), (TOPIC, b"2"))
    await stack.execute("UPDATE ingest_errors SET received_at = NULL WHERE id = 2")
    before = int(datetime.now(UTC).timestamp() * 1000)
    await succeeds(stack, "replay", "--all")
    kept, unknown = await streams.entries(stack)
    assert list(kept.items())[2:] == [(b"received_at", b"%d" % MS), (b"replayed", b"1")]
    assert list(unknown) == [b"topic", b"payload", b"received_at"], "as a version before has replayed it"
    assert int(unknown[b"received_at"]) >= before
    assert await entries(stack) == [(TOPIC.encode(), b"1"), (TOPIC.encode(), b"2")]


async def test_what_is_rejected_again_keeps_it(stack: Stack) -> None:
    await dead_letter(stack, (TOPIC, b"x"))
    await stack.execute("UPDATE ingest_errors SET received_at = '2024-02-29T12:00:00.123Z'")
    await succeeds(stack, "replay", "--all")
    writer = await stack.writer()
    await stack.has_rows("ingest_errors", 2)
    rows = await stack.fetch("SELECT DISTINCT received_at FROM ingest_errors")
    assert [row["received_at"] for row in rows] == [datetime(2024, 2, 29, 12, 0, 0, 123_000, UTC)]
    assert writer.stop() == 0


async def test_a_replayed_device_was_seen_then_and_its_age_is_no_latency(stack: Stack) -> None:
    await dead_letter_of_good(stack, GOOD)
    await succeeds(stack, "replay", "--all")
    writer = await stack.writer()
    await stack.has_rows("ts_measure", 2)
    (device,) = await stack.fetch("SELECT first_seen, last_seen FROM device")
    assert tuple(device) == (AT, AT)
    await writer.counts("ingest_messages_total", 1, type="telem")
    assert writer.metric("ingest_latency_seconds_count") == writer.metric("ingest_transit_seconds_count") == 0
    await stack.append(*telem(second=5), received_at=MS + 5000)
    await writer.counts("ingest_latency_seconds_count", 1)
    assert writer.metric("ingest_transit_seconds_count") == 1


async def test_a_dry_run_decodes_with_the_time_of_receipt(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    await dead_letter_of_good(stack, GOOD, GOOD)
    await stack.execute("UPDATE ingest_errors SET received_at = NULL WHERE id = 2")
    seen: list[Entry] = []
    original = MappedRoutes.decode

    def recording(self: MappedRoutes, entry: Entry) -> Any:
        seen.append(entry)
        return original(self, entry)

    monkeypatch.setattr(MappedRoutes, "decode", recording)
    assert "1: would be stored: 2 rows of ts_measure" in await succeeds(stack, "replay", "--all", "--dry-run")
    kept, unknown = seen
    assert (kept.received_at, kept.replayed) == (AT, True)
    assert unknown.received_at > AT
    assert not unknown.replayed


@pytest.fixture
async def tables(stack: Stack) -> AsyncIterator[Tables]:
    pool = await database.open_pool(stack.database_url, 1, 2)
    yield Tables(pool, DeviceRegistry())
    pool.terminate()


def sighting(device: str, minute: int, site: str, *, replayed: bool) -> Decoded:
    fields = [b"topic", b"t", b"payload", b"p", b"received_at", b"%d" % (MS + minute * 60_000)]
    entry = parse_entry("ingest:{0}", b"1-0", [*fields, b"replayed", b"1"] if replayed else fields)
    return Decoded(entry, "telem", (Sighting("t", device, site, None, entry.received_at),), None, ())


async def test_a_replay_changes_no_device_that_was_heard_of_since(stack: Stack, tables: Tables) -> None:
    async def device(name: str) -> tuple[Any, ...]:
        (row,) = await stack.fetch("SELECT site_id, last_seen FROM device WHERE device_id = $1", name)
        return tuple(row)

    await tables.write([sighting("a", 10, "new", replayed=False)])
    await tables.write([sighting("a", 3, "old", replayed=True)])
    assert await device("a") == ("new", AT + timedelta(minutes=10)), "in another batch"
    live, replay = sighting("b", 10, "new", replayed=False), sighting("b", 3, "old", replayed=True)
    await tables.write([live, replay])
    assert await device("b") == ("new", AT + timedelta(minutes=10)), "in the same batch"
    await tables.write([sighting("c", 3, "then", replayed=True), sighting("c", 2, "before", replayed=True)])
    assert await device("c") == ("then", AT + timedelta(minutes=3)), "replayed in any order"
    await tables.write([sighting("c", 12, "later", replayed=True)])
    assert await device("c") == ("later", AT + timedelta(minutes=12)), "the newest that is known"


async def as_version_11(stack: Stack) -> None:
    await stack.execute("DROP VIEW tenant.ingest_errors")
    await stack.execute("ALTER TABLE ingest_errors DROP COLUMN received_at")
    await stack.execute(
        "CREATE VIEW tenant.ingest_errors WITH (security_barrier) AS SELECT * FROM public.ingest_errors"
        " WHERE tenant_id = current_setting('app.tenant_id', true)"
    )
    await stack.execute("GRANT SELECT ON tenant.ingest_errors TO traksense_reader")
    await stack.execute("DELETE FROM schema_migrations WHERE version = 12")


async def test_an_upgrade_keeps_the_old_ones_and_what_readers_may_see(stack: Stack) -> None:
    await dead_letter(stack, (TOPIC, b"old"))
    await as_version_11(stack)
    for words in (["list"], ["show", 1], ["replay", "--all"], ["export"]):
        refused = await dlq(stack, *words)
        assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1), refused
        assert "older than this version; run `traksense-ingest migrate`" in refused.stderr
    migrated = await stack.command("migrate")
    assert (migrated.returncode, migrated.stdout) == (0, "1 migrations applied\n"), migrated.stderr
    await dead_letter(stack, (TOPIC, b"new"))
    rows = await stack.fetch("SELECT received_at FROM ingest_errors ORDER BY id")
    assert [row["received_at"] for row in rows] == [None, AT]
    assert await stack.fetchval("SELECT has_table_privilege('traksense_reader', 'tenant.ingest_errors', 'SELECT')")
    await succeeds(stack, "replay", "--all")
    assert [fields.get(b"replayed") for fields in await streams.entries(stack)] == [None, b"1"]
    assert await stack.redis.xlen(key_of(0)) == 2


async def test_a_writer_of_the_version_before_stores_into_the_new_table(stack: Stack) -> None:
    """Its statement names the columns that it knows."""
    await stack.execute(
        "INSERT INTO ingest_errors (topic, payload, reason, error_class, stream, entry_id, deliveries)"
        f" VALUES ('{TOPIC}', 'x', 'parse_error: no', 'parse_error', 'ingest:{{0}}', '1-0', 1)"
    )
    assert "1 message replayed" in await succeeds(stack, "replay", "--all")
