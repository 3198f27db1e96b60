"""Migration 18's reason_group: what a reason says without its values."""

from __future__ import annotations

import asyncpg
import pytest

from tests.support.dead_letters import TOPIC, dead_letter
from tests.support.stack import Stack
from tests.support.writer_role import login_role
from traksense_ingest.shared.database import migrations
from traksense_ingest.shared.messages import POISON_REASONS

GROUPS = [
    ("parse_error: points.17.v: Input should be a number", "parse_error: points.….v: Input should be a number"),
    ("parse_error: khomp/itg200: records[3].v: wrong", "parse_error: khomp/itg200: records[…].v: wrong"),
    ("parse_error: payload: not UTF-8 at byte 17", "parse_error: payload: not UTF-8 at byte …"),
    ("parse_error: x: expected value at line 3 column 15", "parse_error: x: expected value at line … column …"),
    ("out_of_range: ts: 2026-01-01T00:00:00.5+00:00 is early", "out_of_range: ts: … is early"),
    ("out_of_range: ts: 2026-01-01T00:00:00Z is early", "out_of_range: ts: … is early"),
    ("data_error: value -8.1e-05 is too small.", "data_error: value -… is too small."),
    ("parse_error: a[\"b c\"]: 'it is' can't be and isn't", "parse_error: a[…]: … can't be and isn't"),
    ("parse_error: p1: 12 of 30", "parse_error: p1: … of …"),
    ("parse_error: é1 and no value", "parse_error: é… and no value"),
    ('parse_error: "never closed', 'parse_error: "never closed'),
    ("", ""),
    *((f"{reason}: schema: missing", f"{reason}: schema: missing") for reason in POISON_REASONS),
]


@pytest.mark.parametrize(("reason", "group"), GROUPS)
async def test_what_a_reason_says_without_its_values(stack: Stack, reason: str, group: str) -> None:
    assert await stack.fetchval("SELECT reason_group($1)", reason) == group


async def test_a_long_reason_is_cut_and_a_group_is_one_already(stack: Stack) -> None:
    assert len(await stack.fetchval("SELECT reason_group(repeat('x', 100000))")) == 500
    for _, group in GROUPS:
        assert await stack.fetchval("SELECT reason_group($1)", group) == group


async def test_dead_letters_have_their_group(stack: Stack) -> None:
    await dead_letter(stack, (TOPIC, b"[1, oops"), (TOPIC, b"[1, 2, oops"))
    rows = await stack.fetch("SELECT DISTINCT reason_group FROM ingest_errors")
    assert len(rows) == 1
    assert "line … column …" in rows[0]["reason_group"]


async def test_a_writer_has_it_where_functions_are_for_nobody(stack: Stack) -> None:
    """The migration may be run again, too."""
    (again,) = (migration.sql for migration in migrations() if migration.version == 18)
    await stack.execute("REVOKE EXECUTE ON FUNCTION reason_group FROM PUBLIC")
    owner = await asyncpg.connect(stack.database_url)
    await owner.execute(again)
    await owner.close()
    async with login_role(stack) as url:
        writer = await asyncpg.connect(url)
        await writer.execute(
            """INSERT INTO ingest_errors (topic, payload, reason, error_class, stream, entry_id, deliveries)
               VALUES ('a', 'x', 'line 1', 'parse_error', 's', '1-1', 1)"""
        )
        await writer.close()
    assert await stack.fetchval("SELECT reason_group FROM ingest_errors") == "line …"
