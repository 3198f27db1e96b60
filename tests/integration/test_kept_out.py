"""Rows that the database takes and leaves out, without an error: nothing is settled that isn't there."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.test_broken_database import FEW, ack, command, db_errors, event, run
from tests.support.budget import few_of
from tests.support.stack import Stack, telem
from tests.support.waiting import eventually

SILENT = """
    CREATE FUNCTION leave_out() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN IF {condition} THEN RETURN NULL; END IF; RETURN NEW; END $$;
    CREATE TRIGGER leave_out BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION leave_out()"""
UNDONE = "DROP FUNCTION leave_out CASCADE"

MESSAGES: dict[str, Any] = {
    "ts_measure": lambda number: telem(f"dev{number}", number, points=3),
    "ingest_errors": lambda number: (f"traksense/t/site/dev{number}/telem", b"poison"),
    "cmd_ack": ack,
    "device_event": event,
    "command": command,
}
ROWS = {"ts_measure": 3}


@pytest.mark.long
@pytest.mark.parametrize("table", few_of(MESSAGES, 2))
async def test_rows_that_a_trigger_leaves_out_wait_for_its_end(stack: Stack, table: str) -> None:
    await run(stack, SILENT.format(table=table, condition="true"))
    writer = await stack.writer(**FEW)
    for number in range(20):
        await stack.append(*MESSAGES[table](number))
    await writer.says(f"not even a known good one: a trigger on {table} kept")
    await eventually(lambda: db_errors(writer, 2))
    assert await stack.backlog() == 20
    assert writer.get("/readyz")[0] == 503
    await run(stack, UNDONE)
    await stack.has_rows(table, 20 * ROWS.get(table, 1))
    await eventually(lambda: writer.get("/readyz")[0] == 200)
    assert await stack.count("ingest_errors") == (20 if table == "ingest_errors" else 0)


@pytest.mark.parametrize(
    ("table", "which"),
    few_of(
        (
            (table, which)
            for table in ("ts_measure", "cmd_ack", "device_event", "command")
            for which in ("new", "again")
        ),
        3,
    ),
)
async def test_a_message_whose_rows_a_trigger_leaves_out_is_a_dead_letter(stack: Stack, table: str, which: str) -> None:
    """Also among those that are there already, where fewer rows than were sent are no news."""
    condition = "NEW.point_id = 'p2' AND NEW.device_id = 'dev7'" if table == "ts_measure" else "NEW.device_id = 'dev7'"
    await run(stack, SILENT.format(table=table, condition=condition))
    for number in range(20):
        if which == "again" and number != 7:
            await stack.append(*MESSAGES[table](number))
        await stack.append(*MESSAGES[table](number))
    writer = await stack.writer()
    await stack.has_rows("ingest_errors", 1)
    assert await stack.count(table) == 19 * ROWS.get(table, 1)
    (row,) = await stack.fetch("SELECT topic, error_class, reason, deliveries FROM ingest_errors")
    assert (row["topic"].split("/")[3], row["error_class"], row["deliveries"]) == ("dev7", "data_error", 1)
    assert f"a trigger on {table} kept 1 of" in row["reason"]
    assert writer.get("/readyz")[0] == 200


@pytest.mark.parametrize("points", [1, 3])
async def test_another_unique_index_makes_a_dead_letter(stack: Stack, points: int) -> None:
    """23505 as a duplicate has it: ON CONFLICT DO NOTHING would pass over a row that isn't there."""
    await run(stack, "CREATE UNIQUE INDEX one_value ON ts_measure (point_id, ts, v_text)")
    good = [telem(f"dev{number}", number, points) for number in range(10)]
    bad = [{"name": "x", "t": "text", "v": "same"}]
    for message in (*good, telem("first", 0, bad), *good, telem("second", 0, bad), *good):
        await stack.append(*message)
    await stack.writer()
    await stack.has_rows("ingest_errors", 1)
    assert await stack.count("ts_measure") == 10 * points + 1
    (row,) = await stack.fetch("SELECT sqlstate, reason FROM ingest_errors")
    assert row["sqlstate"] == "23505"
    assert "one_value" in row["reason"]


async def test_a_trigger_may_change_keys(stack: Stack) -> None:
    """What comes again is there, under another key than it was sent with."""
    await run(
        stack,
        """CREATE FUNCTION whole_seconds() RETURNS trigger LANGUAGE plpgsql AS $$
           BEGIN NEW.ts := date_trunc('second', NEW.ts); RETURN NEW; END $$;
           CREATE TRIGGER whole_seconds BEFORE INSERT ON ts_measure FOR EACH ROW EXECUTE FUNCTION whole_seconds()""",
    )
    await stack.writer(**FEW)
    for _ in range(2):
        for number in range(10):
            await stack.append(*telem(f"dev{number}", number + 0.25))
    await stack.has_rows("ts_measure", 10)
    assert await stack.count("ingest_errors") == 0


async def test_acks_may_stay_as_they_came_first(stack: Stack) -> None:
    """A trigger that keeps an update out loses nobody's row."""
    await run(
        stack,
        """CREATE FUNCTION leave_out() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
           CREATE TRIGGER first BEFORE UPDATE ON cmd_ack FOR EACH ROW EXECUTE FUNCTION leave_out()""",
    )
    await stack.writer(**FEW)
    for number in (1, 1, 2, 2, 1):
        await stack.append(*ack(number))
    await stack.has_rows("cmd_ack", 2)
    assert await stack.count("ingest_errors") == 0
