"""A database that refuses good messages condemns none of them; a message that is refused while good ones are taken is
a dead letter at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

import asyncpg
import pytest

from tests.support.budget import few_of
from tests.support.process import Process
from tests.support.stack import START, Stack, telem
from tests.support.waiting import eventually, pause
from traksense_ingest.shared.runtime.service import unless_stopped

pytestmark = pytest.mark.long

FEW = {"INGEST_CLAIM_IDLE_MS": 300, "INGEST_MAX_DELIVERIES": 2}

REFUSE = """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN {condition} RAISE EXCEPTION 'refused' USING ERRCODE = '{state}'; {end} RETURN NEW; END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION refuse()"""
ALLOW = "DROP FUNCTION refuse CASCADE"


class Break(NamedTuple):
    """What an operator does, and undoes."""

    broken: str
    undone: str


def refusing_trigger(state: str, table: str = "ts_measure") -> Break:
    return Break(REFUSE.format(state=state, table=table, condition="", end=""), ALLOW)


BREAKS = {  # the most different ones first
    "renamed table": Break("ALTER TABLE ts_measure RENAME TO gone", "ALTER TABLE gone RENAME TO ts_measure"),
    "a trigger, P0001": refusing_trigger("P0001"),
    "devices renamed": Break("ALTER TABLE device RENAME TO gone", "ALTER TABLE gone RENAME TO device"),
    "a NOT NULL column": Break(
        "ALTER TABLE ts_measure ADD plant text NOT NULL DEFAULT ''; ALTER TABLE ts_measure ALTER plant DROP DEFAULT",
        "ALTER TABLE ts_measure DROP plant",
    ),
    "renamed column": Break(
        "ALTER TABLE ts_measure RENAME unit TO units", "ALTER TABLE ts_measure RENAME units TO unit"
    ),
    "a column NOT NULL": Break(
        "BEGIN; TRUNCATE ts_measure; ALTER TABLE ts_measure ALTER meta SET NOT NULL; COMMIT",
        "ALTER TABLE ts_measure ALTER meta DROP NOT NULL",
    ),
    "a foreign key": Break(
        "CREATE TABLE tenants (id text PRIMARY KEY); "
        "ALTER TABLE ts_measure ADD CONSTRAINT known FOREIGN KEY (tenant_id) REFERENCES tenants NOT VALID",
        "ALTER TABLE ts_measure DROP CONSTRAINT known",
    ),
    "a deferred foreign key": Break(
        "CREATE TABLE tenants (id text PRIMARY KEY); "
        "ALTER TABLE ts_measure ADD CONSTRAINT known FOREIGN KEY (tenant_id) REFERENCES tenants "
        "DEFERRABLE INITIALLY DEFERRED NOT VALID",
        "ALTER TABLE ts_measure DROP CONSTRAINT known",
    ),
    "a trigger, 23514": refusing_trigger("23514"),
    "a trigger, a code of its own": refusing_trigger("TS001"),
    "a trigger on devices": refusing_trigger("P0001", "device"),
    "points of devices renamed": Break(
        "ALTER TABLE device_point RENAME TO gone", "ALTER TABLE gone RENAME TO device_point"
    ),
    "a trigger on points of devices": refusing_trigger("P0001", "device_point"),
}


async def run(stack: Stack, script: str) -> None:
    """Several statements, as the tables' owner."""
    connection = await asyncpg.connect(stack.database_url)
    try:
        await connection.execute(script)
    finally:
        await connection.close()


@asynccontextmanager
async def load(stack: Stack) -> AsyncIterator[list[int]]:
    """Messages at some 50/s, for as long as the block; yields a list with their number in it."""
    sent, stop = [0], asyncio.Event()

    async def send() -> None:
        while not stop.is_set():
            await stack.append(*telem(f"dev{sent[0]}", sent[0]))
            sent[0] += 1
            await unless_stopped(stop, pause(0.02))

    task = asyncio.create_task(send())
    try:
        yield sent
    finally:
        stop.set()
        await task


async def db_errors(writer: Process, more_than: float) -> bool:
    return writer.metric("ingest_errors_total", reason="db_error") > more_than


@pytest.mark.parametrize("name", few_of(BREAKS, 2))
async def test_a_database_that_refuses_everything_condemns_nothing(stack: Stack, name: str) -> None:
    if name.endswith("foreign key") and await _is_hypertable(stack):
        pytest.skip("NOT VALID is not for hypertables")
    writer = await stack.writer(**FEW)
    async with load(stack) as sent:
        await eventually(lambda: stack.count("ts_measure"))
        await run(stack, BREAKS[name].broken)
        before, at = writer.metric("ingest_errors_total", reason="db_error"), sent[0]
        await eventually(lambda: writer.get("/readyz")[0] == 503)
        await eventually(lambda: db_errors(writer, before + 1))
        await eventually(lambda: sent[0] > at + 60)
        assert await stack.count("ingest_errors") == 0
        assert writer.get("/readyz")[0] == 503
        assert writer.metric("ingest_connected", component="database") == 0
        await run(stack, BREAKS[name].undone)
        await eventually(lambda: writer.get("/readyz")[0] == 200)
    await eventually(lambda: _is_empty(stack))
    assert await stack.count("ingest_errors") == 0
    if name != "a column NOT NULL":  # its rows were deleted
        assert await stack.count("ts_measure") == sent[0]
    await writer.counts("ingest_messages_total", sent[0], type="telem")
    assert writer.log.count("can't be used") == 1, writer.log
    assert "Traceback" not in writer.log


async def _is_hypertable(stack: Stack) -> bool:
    return bool(await stack.fetchval("SELECT count(*) FROM pg_extension WHERE extname = 'timescaledb'"))


async def _is_empty(stack: Stack) -> bool:
    return not await stack.backlog()


async def test_a_revoked_privilege(stack: Stack) -> None:
    role = f"less_{stack.database_url.rpartition('/')[2]}"
    await stack.execute(f"CREATE ROLE {role} LOGIN IN ROLE traksense_writer BYPASSRLS PASSWORD 'less'")
    url = stack.database_url.replace("//postgres:postgres@", f"//{role}:less@")
    writer = await stack.writer(DATABASE_URL=url, **FEW)
    try:
        async with load(stack) as sent:
            await eventually(lambda: stack.count("ts_measure"))
            await stack.execute("REVOKE INSERT ON ts_measure FROM traksense_writer")
            await writer.says("permission denied for table ts_measure")
            at = sent[0]
            await eventually(lambda: sent[0] > at + 60)
            assert writer.get("/readyz")[0] == 503
            await stack.execute("GRANT INSERT ON ts_measure TO traksense_writer")
        await stack.has_rows("ts_measure", sent[0])
        assert await stack.count("ingest_errors") == 0
    finally:
        writer.kill()
        await stack.execute("GRANT INSERT ON ts_measure TO traksense_writer")
        await stack.execute(f"DROP ROLE {role}")


async def test_a_writer_that_starts_on_a_broken_database(stack: Stack) -> None:
    """It has stored nothing yet that it could try."""
    await run(stack, BREAKS["a trigger, P0001"].broken)
    for second in range(50):
        await stack.append(*telem(f"dev{second}", second))
    writer = stack.start("writer", **FEW)
    await writer.says("not even a known good one: refused")
    await eventually(lambda: db_errors(writer, 2))
    assert await stack.count("ingest_errors") == 0
    await run(stack, ALLOW)
    await stack.has_rows("ts_measure", 50)
    assert await stack.count("ingest_errors") == 0


async def test_what_is_sent_now_has_no_place(stack: Stack) -> None:
    """As where the next partition is missing: what was stored before would be taken still."""
    writer = await stack.writer(**FEW)
    for second in range(20):
        await stack.append(*telem(second=second))
    await stack.has_rows("ts_measure", 20)
    await run(stack, "ALTER TABLE ts_measure ADD CONSTRAINT of_old_partitions CHECK (ts < '2025-11-01')")
    now = (datetime.now(UTC) - START).total_seconds()
    for number in range(20):
        await stack.append(*telem(f"dev{number}", now))
    await writer.says("not even a known good one")
    await eventually(lambda: db_errors(writer, 2))
    assert await stack.count("ingest_errors") == 0
    await run(stack, "ALTER TABLE ts_measure DROP CONSTRAINT of_old_partitions")
    await stack.has_rows("ts_measure", 40)
    assert await stack.count("ingest_errors") == 0


WHEN = "alone", "alone after a restart", "among others"
ONE = "IF NEW.device_id = 'bad' THEN"
POISONS = {
    "CHECK": "ALTER TABLE ts_measure ADD CONSTRAINT sane CHECK (v_num < 1000 OR device_id <> 'bad')",
    **{
        state: REFUSE.format(state=state, table="ts_measure", condition=ONE, end="END IF;")
        for state in ("P0001", "42883", "TS001", "0A000")
    },
}


@pytest.mark.parametrize(("name", "when"), few_of(((name, when) for name in POISONS for when in WHEN), len(WHEN)))
async def test_one_that_is_refused_alone_is_a_dead_letter_at_once(stack: Stack, name: str, when: str) -> None:
    await run(stack, POISONS[name])
    good = 0
    if when != "alone":
        for second in range(good := 20):
            await stack.append(*telem(f"dev{second}", second))
    if when == "alone after a restart":
        before = await stack.writer()
        await stack.has_rows("ts_measure", good)
        before.stop()
    await stack.append(*telem("bad", points=[{"name": "p", "v": 5000}]))
    if when == "among others":
        for second in range(20, good := 40):
            await stack.append(*telem(f"dev{second}", second))
    writer = await stack.writer()
    await stack.has_rows("ingest_errors", 1)
    assert await stack.count("ts_measure") == good
    assert await stack.count("device") == good, "no canary leaves a row"
    (row,) = await stack.fetch("SELECT error_class, deliveries, reason, sqlstate FROM ingest_errors")
    assert (row["error_class"], row["deliveries"]) == ("data_error", 1)
    assert row["sqlstate"] == {"CHECK": "23514"}.get(name, name)
    assert writer.get("/readyz")[0] == 200
    assert writer.metric("ingest_errors_total", reason="db_error") == 0
    assert "dead letters: 1 (data_error: 1), for example ingest:{0} " in writer.log


def ack(number: int) -> tuple[str, bytes]:
    payload = {"schema": "v1", "cmd_id": f"c{number}", "ok": True}
    return f"traksense/t/site/dev{number}/ack", json.dumps(payload).encode()


def event(number: int) -> tuple[str, bytes]:
    payload = {"schema": "v1", "event_type": "door", "ts": "2025-10-07T15:30:00Z", "event_id": f"e{number}"}
    return f"traksense/t/site/dev{number}/event", json.dumps(payload).encode()


def command(number: int) -> tuple[str, bytes]:
    payload = {"schema": "v1", "cmd_id": f"c{number}", "cmd": "defrost"}
    return f"traksense/t/site/dev{number}/cmd", json.dumps(payload).encode()


MESSAGES: dict[str, Any] = {
    "cmd_ack": ack,
    "ingest_errors": lambda number: (f"traksense/t/site/dev{number}/telem", b"poison"),
    "device_event": event,
    "command": command,
}


@pytest.mark.parametrize("table", few_of(MESSAGES, 2))
async def test_a_kind_that_is_refused_waits_and_holds_up_no_other(stack: Stack, table: str) -> None:
    writer = await stack.writer(**FEW)
    await run(stack, f"ALTER TABLE {table} RENAME TO gone")
    for number in range(60):
        await stack.append(*MESSAGES[table](number))
        await stack.append(*telem(f"dev{number}", number))
    await eventually(lambda: _rows(stack, "ts_measure", 60))
    await eventually(lambda: _is_left(stack, 60))
    assert writer.get("/readyz")[0] == 503
    await run(stack, f"ALTER TABLE gone RENAME TO {table}")
    await stack.has_rows(table, 60)
    await eventually(lambda: writer.get("/readyz")[0] == 200)
    assert await stack.count("ingest_errors") == (60 if table == "ingest_errors" else 0)
    assert writer.metric("ingest_deferred_total") == 0


async def _is_left(stack: Stack, count: int) -> bool:
    return await stack.backlog() == count


async def _rows(stack: Stack, table: str, count: int) -> bool:
    return await stack.count(table) == count
