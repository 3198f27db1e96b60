"""What a writer makes of retained messages: ACKs and dead letters, in one batch with others."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from tests.support.decoding import v1_routes
from tests.support.retained import BAD, ack
from tests.support.stack import Stack
from traksense_ingest.shared.streams.snapshot import read_snapshot
from traksense_ingest.writer.entry import Entry
from traksense_ingest.writer.outcome import Rejected
from traksense_ingest.writer.store.devices import DeviceRegistry
from traksense_ingest.writer.store.tables import Tables

ACKS: dict[str, tuple[list[tuple[bool, str | None]], bool]] = {  # ok and the field; what the row says then
    "before a live one": ([(False, "1"), (True, None)], True),
    "behind a live one": ([(True, None), (False, "1")], True),
    "on both sides": ([(False, "1"), (True, None), (False, "1")], True),
    "alone": ([(False, "1")], False),
    "twice": ([(False, "1"), (True, "1")], False),
}


async def test_retained_and_live_acks_of_one_batch(stack: Stack) -> None:
    for name, (acks, _) in ACKS.items():
        for ok, retained in acks:
            payload = json.dumps({"schema": "v1", "cmd_id": name, "ok": ok}).encode()
            fields: dict[str, Any] = {"retained": retained} if retained else {}
            await stack.append("traksense/t/s/dev/ack", payload, **fields)
    writer = await stack.writer()
    await stack.has_rows("cmd_ack", len(ACKS))
    rows = {row["cmd_id"]: row["ok"] for row in await stack.fetch("SELECT cmd_id, ok FROM cmd_ack")}
    assert rows == {name: ok for name, (_, ok) in ACKS.items()}
    sent = sum(len(acks) for acks, _ in ACKS.values())
    assert writer.metric("ingest_duplicates_total", type="ack") == sent - len(ACKS)


async def test_a_retained_ack_that_is_newer_counts_before_an_older_live_one(stack: Stack) -> None:
    await stack.append(*ack(ok=True, ts_exec="2026-02-02T00:00:00Z"), retained="1")
    await stack.append(*ack(ok=False, ts_exec="2026-02-01T00:00:00Z"))
    await stack.writer()
    await stack.has_rows("cmd_ack", 1)
    assert await stack.fetchval("SELECT ok FROM cmd_ack") is True


@pytest.mark.parametrize("payload", [b"not JSON", b"\x00\xff" * 50_000], ids=["text", "bytes"])
async def test_a_dead_letter_of_what_is_retained(stack: Stack, payload: bytes) -> None:
    """One for the same bytes, also where two writers meet them at once; another after it was purged, and of others."""
    topic = BAD[0]
    for _ in range(5):
        await stack.append(topic, payload, retained="1")
    writers = [await stack.writer(INGEST_BATCH_SIZE=1) for _ in range(2)]
    await stack.has_rows("ingest_errors", 1)
    await stack.append(topic, payload)  # not retained: a device sent it again
    await stack.has_rows("ingest_errors", 2)
    await stack.append(topic, payload + b"!", retained="1")
    await stack.append("traksense/t/s/other/telem", payload, retained="1")
    await stack.has_rows("ingest_errors", 4)
    await stack.execute("DELETE FROM ingest_errors")
    await stack.append(topic, payload, retained="1")
    await stack.has_rows("ingest_errors", 1)
    assert sum(writer.metric("ingest_dlq_rows_total") for writer in writers) == 5
    assert (await read_snapshot(stack.clients, 0)).dead_lettered == 9, "each entry was settled as one"


async def test_a_replay_that_overtakes_its_message_is_its_dead_letter(database: str) -> None:
    """Two lanes have one of both each. What a device sends after it is another message."""
    decoder = v1_routes(10**6, 86_400)
    async with asyncpg.create_pool(database, min_size=1, max_size=2) as pool:

        async def letters_after(id_: str, *, retained: bool) -> int:
            entry = Entry("ingest:{0}", id_, BAD[0].encode(), BAD[1], datetime.now(UTC), 1, retained)
            outcome = decoder.decode(entry)
            assert isinstance(outcome, Rejected)
            await Tables(pool, DeviceRegistry()).write([outcome])
            return int(await pool.fetchval("SELECT count(*) FROM ingest_errors"))

        assert await letters_after("9-7", retained=True) == 1
        assert await letters_after("9-6", retained=False) == 1
        assert await letters_after("10-0", retained=True) == 1
        assert await letters_after("18446744073709551615-18446744073709551615", retained=False) == 2
        await pool.execute("UPDATE ingest_errors SET replayed_at = now()")
        assert await letters_after("9-5", retained=False) == 3, "it was replayed meanwhile, and is bad still"
