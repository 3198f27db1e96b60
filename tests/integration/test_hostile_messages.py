"""Hostile messages through a real stream, a real writer and into a real database."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import asyncpg
import pytest

from tests.fuzz import target
from tests.support.hostile import generate
from tests.support.rows import measures_in
from tests.support.stack import Stack
from tests.support.waiting import eventually
from traksense_ingest.shared import database
from traksense_ingest.shared.database import transaction
from traksense_ingest.shared.streams.snapshot import read_snapshot
from traksense_ingest.writer.decode.measures import Measure, Measures
from traksense_ingest.writer.outcome import Decoded
from traksense_ingest.writer.store import copy_measures as ways
from traksense_ingest.writer.store.duplicates import find_new_points, find_new_points_by_first

EXAMPLES = 400
TS = "2025-10-07T15:30:00Z"
TABLES = ("ts_measure", "cmd_ack", "device_event", "device")


@pytest.mark.long
async def test_each_is_either_stored_or_one_dead_letter(stack: Stack) -> None:
    """HOSTILE_SEED repeats a run that failed."""
    seed = int(os.environ.get("HOSTILE_SEED", secrets.randbelow(2**32)))
    print(f"HOSTILE_SEED={seed}")
    sent: dict[str, tuple[str, bytes]] = {}
    for number, (kind, payload) in enumerate(generate(EXAMPLES, seed)):
        id_ = await stack.append(f"traksense/t/s/d{number}/{kind}", payload)
        sent[id_.decode()] = (f"d{number}", payload)

    writer = await stack.writer()
    await eventually(lambda: _is_empty(stack))
    letters: dict[str, list[Any]] = {id_: [] for id_ in sent}
    for row in await stack.fetch("SELECT * FROM ingest_errors"):
        letters[row["entry_id"]].append(row)
    stored = {row["device_id"] for row in await stack.fetch("SELECT device_id FROM device")}
    empty = [entry_id for entry_id, (_, payload) in sent.items() if not payload]
    for entry_id, (device, payload) in sent.items():
        assert len(letters[entry_id]) == (device not in stored and payload != b""), (seed, entry_id, payload)
        for row in letters[entry_id]:
            assert _bytes_of(row) == payload, (seed, entry_id)
            assert row["error_class"] in {"parse_error", "out_of_range"}, (seed, entry_id, row["reason"], payload)
    shard = await read_snapshot(stack.clients, 0)
    assert (shard.stored, shard.ignored) == (len(stored), len(empty))
    assert shard.dead_lettered == len(sent) - len(stored) - len(empty)
    assert min(shard.stored, shard.dead_lettered) > EXAMPLES // 20, "some of each"
    assert await stack.pending() == 0
    assert "Traceback" not in writer.log


async def _is_empty(stack: Stack) -> bool:
    return await stack.backlog() == 0


def _bytes_of(row: Any) -> bytes:
    exact: bytes = row["payload"].encode() if row["payload_raw"] is None else row["payload_raw"]
    return exact


NAMES = [
    *("'; DROP TABLE ts_measure; --", "' OR '1'='1", '"', "''", "$1", "%s", "{name}", "%", "_", "a%", "a_"),
    *(
        "\\N",
        "\\.",
        "\\",
        "\\t",
        "\\x41",
        "NULL",
        "null",
        '{"a":1}',
        "[]",
        "*",
        "?",
        "[a-z]*",
        "..",
        ":",
        " ",
        " a",
        "a ",
    ),
    *("e\u0301", "\u00e9", "A", "a", "\u0130", "\u202eRTL", "\u200b", "\ufeff", "\u05d0\u05d1", "\U0001f9ca", "\ue000"),
]


async def test_names_are_just_names(stack: Stack) -> None:
    """Stored exactly, found exactly, and each apart from all others, though each message comes twice."""
    writer = await stack.writer()
    for _ in range(2):
        for number, name in enumerate(NAMES):
            for kind, payload in _messages(name, number).items():
                await stack.append(f"traksense/{name}/{name}/{name}/{kind}", payload)
        await eventually(lambda: _is_empty(stack))
    counts = {table: await stack.count(table) for table in TABLES}
    assert counts == dict.fromkeys(TABLES, len(NAMES))
    connection = await asyncpg.connect(stack.database_url)
    for number, name in enumerate(NAMES):
        measure = await connection.fetchrow("SELECT * FROM ts_measure WHERE tenant_id = $1", name)
        found = tuple(measure[column] for column in ("device_id", "point_id", "v_num", "v_text", "unit"))
        assert found == (name, name, None, name, name)
        assert json.loads(measure["meta"]) == {name: name}
        ack = await connection.fetchrow("SELECT * FROM cmd_ack WHERE tenant_id = $1", name)
        assert (ack["device_id"], ack["cmd_id"], ack["err"], ack["ok"]) == (name, name, name, number % 2 == 0)
        event = await connection.fetchrow("SELECT * FROM device_event WHERE tenant_id = $1", name)
        assert (event["device_id"], event["event_id"], event["event_type"]) == (name, name, name)
        assert await connection.fetchval("SELECT site_id FROM device WHERE device_id = $1", name) == name
    await connection.close()
    assert "Traceback" not in writer.log


Way = Callable[[Any, Sequence[Measures]], Awaitable[int]]
WAYS: dict[str, Way] = {
    "straight": ways.copy_all,
    "asked for all": partial(ways.copy_new, find=find_new_points),
    "asked for first points": partial(ways.copy_new, find=find_new_points_by_first),
    "staged": ways.copy_staged,
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
async def test_names_are_just_names_by_each_way_into_the_table(stack: Stack, way: Way) -> None:
    """All of some messages is new, and of the others the last point; where it minds, the rest is there already."""
    messages = [_measures(name) for name in NAMES]
    pool = await database.open_pool(stack.database_url, 0, 1)

    async def new_of(batch: Sequence[Measures]) -> int:
        async with transaction(pool) as connection:
            return await way(connection, batch)

    some, others = messages[::2], messages[1::2]
    assert await new_of([message.only(message.readings[:3]) for message in some]) == 3 * len(some)
    if way is WAYS["straight"]:
        await new_of([*(message.only(message.readings[3:]) for message in some), *others])
    else:
        assert await new_of(messages) == len(some) + 4 * len(others)
        assert await new_of(messages) == 0
    pool.terminate()
    rows = [tuple(row.values()) for row in await stack.fetch(f"SELECT {', '.join(Measure._fields)} FROM ts_measure")]
    assert sorted(rows, key=repr) == sorted((tuple(row) for message in messages for row in message), key=repr)


def _measures(name: str) -> Measures:
    """Four points with names that are easily taken for one another."""
    points = [{"name": point, "t": "text", "v": name, "u": name} for point in (name, *(name + more for more in "A%a"))]
    payload = {"schema": "v1", "ts": TS, "points": points}
    outcome = target.decode(f"traksense/{name}/{name}/{name}/telem".encode(), json.dumps(payload).encode())
    assert isinstance(outcome, Decoded)
    return measures_in(outcome)


def _messages(name: str, number: int) -> dict[str, bytes]:
    point = {"name": name, "t": "text", "v": name, "u": name}
    messages = {
        "telem": {"schema": "v1", "ts": TS, "points": [point], "meta": {name: name}},
        "ack": {"schema": "v1", "cmd_id": name, "ok": number % 2 == 0, "ts_exec": TS, "err": name},
        "event": {"schema": "v1", "event_id": name, "event_type": name, "ts": TS, "data": {name: name}},
    }
    return {kind: json.dumps(message).encode() for kind, message in messages.items()}


async def test_a_row_level_security_name_reads_its_own_tenant_only(stack: Stack) -> None:
    for name in NAMES:
        await stack.append(f"traksense/{name}/s/d/telem", _messages("p", 0)["telem"])
    await stack.writer()
    await stack.has_rows("ts_measure", len(NAMES))
    connection = await asyncpg.connect(stack.database_url)
    for name in NAMES:
        await connection.execute("SELECT set_config('app.tenant_id', $1, false)", name)
        assert [row[0] for row in await connection.fetch("SELECT tenant_id FROM tenant.ts_measure")] == [name]
    await connection.close()
