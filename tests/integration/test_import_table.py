"""`import` of a table: its columns and types, names that SQL would read otherwise, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support import streams
from tests.support.budget import few_of
from tests.support.dead_letters import entries
from tests.support.imports import TABLE, appended, history, imports, make_table, received, succeeds
from tests.support.stack import Stack
from tests.support.writer_role import login_role
from traksense_ingest.ops.imports import table as tables
from traksense_ingest.ops.imports.table import opened_table

pytestmark = pytest.mark.long  # of `make test-all`

MESSAGE = ("traksense/t/s/d/telem", b'{"b": 1,  "a": 1.50}')


async def refused(stack: Stack, *words: object) -> str:
    """What it says, in one line, with exit code 2."""
    done = await imports(stack, *words)
    assert (done.exit_code, done.stdout, len(done.stderr.splitlines())) == (2, "", 1), done.output
    return done.stderr


async def test_exact_bytes_topics_and_times_in_the_order_of_the_key(stack: Stack) -> None:
    sent = [*history(250), ("x", b"\xff\0")]
    await make_table(stack, sent)
    assert await succeeds(stack, *TABLE) == "251 messages imported\n"
    found = await streams.entries(stack)
    assert [(fields[b"topic"].decode(), fields[b"payload"]) for fields in found] == sent
    times = [round(received(number).timestamp() * 1000) for number in range(251)]
    assert [int(fields[b"received_at"]) for fields in found] == times
    assert found[250][b"import_id"].endswith(b":753")
    assert (await succeeds(stack, *TABLE)).startswith("0 messages imported; 251 were imported before")
    await stack.execute("INSERT INTO backend.raw_message SELECT 754, 'x', 'new'")
    assert (await succeeds(stack, *TABLE)).startswith("1 message imported; 251 were imported before")


@pytest.mark.parametrize(
    ("type_", "payload"),
    [
        ("text", MESSAGE[1]),
        ("varchar(100)", MESSAGE[1]),
        ("json", MESSAGE[1]),
        ("jsonb", b'{"a": 1.50, "b": 1}'),
    ],
)
async def test_types_of_payloads(stack: Stack, type_: str, payload: bytes) -> None:
    await make_table(stack, [MESSAGE], type_)
    await succeeds(stack, *TABLE)
    assert await entries(stack) == [(MESSAGE[0].encode(), payload)]


KEYS = {
    "uuid": "('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid",
    "text": "'k' || n",
    'text COLLATE "C"': "CASE WHEN n % 2 = 0 THEN 'a' ELSE 'B' END || n",
    "numeric(10, 2)": "n / 4.0 - 20",
    "timestamptz(3)": "timestamptz '2026-10-25 00:30Z' + n * interval '1 minute'",
    "char(6)": "n",
    "bytea": "int4send(n)",
}


@pytest.mark.parametrize("type_", few_of(KEYS, 3))
async def test_types_of_keys(stack: Stack, type_: str) -> None:
    await stack.execute(f"CREATE TABLE raw (position {type_} PRIMARY KEY, topic text, payload text)")
    await stack.execute(f"INSERT INTO raw SELECT {KEYS[type_]}, 't', n FROM generate_series(1, 130) AS n")
    for _ in range(13):
        await succeeds(stack, "--table", "raw", "--limit", 10)
    expected = await stack.fetch("SELECT payload FROM raw ORDER BY position")
    assert [payload.decode() for _, payload in await entries(stack)] == [row["payload"] for row in expected]
    assert (await succeeds(stack, "--table", "raw")).startswith("0 messages imported; 130")


@pytest.mark.parametrize(
    ("type_", "expected"),
    [("bigint", ["9", "10", "100"]), ('text COLLATE "C"', ["10", "100", "9"]), ("numeric", ["9", "10", "100"])],
)
async def test_positions_are_ordered_as_the_keys(stack: Stack, type_: str, expected: list[str]) -> None:
    await stack.execute(f"CREATE TABLE raw (id {type_} PRIMARY KEY, topic text, payload text)")
    async with opened_table(stack.database_url, "DATABASE_URL", "raw", tables.Columns()) as source:
        assert await source.in_order({"100", "9", "10"}) == expected


async def test_positions_are_ordered_by_the_collation_of_the_key(stack: Stack) -> None:
    if not await stack.fetch("SELECT FROM pg_collation WHERE collname = 'und-x-icu'"):
        pytest.skip("this PostgreSQL has no ICU")
    await stack.execute('CREATE TABLE raw (id text COLLATE "und-x-icu" PRIMARY KEY, topic text, payload text)')
    async with opened_table(stack.database_url, "DATABASE_URL", "raw", tables.Columns()) as source:
        assert await source.in_order({"B", "a", "C"}) == ["a", "B", "C"]


async def test_names_that_sql_would_read_otherwise(stack: Stack) -> None:
    await stack.execute('CREATE SCHEMA "Sch.{key}ema"')
    await stack.execute(
        'CREATE TABLE "Sch.{key}ema"."ta""ble; DROP TABLE device" ('
        '"select" int PRIMARY KEY, "{table}" text, "Pay load" text, "from" timestamp)'
    )
    await stack.execute(
        'INSERT INTO "Sch.{key}ema"."ta""ble; DROP TABLE device"'
        " SELECT n, 't', n, '2026-01-01 00:00:00.5' FROM generate_series(8, 11) AS n"
    )
    name = '"Sch.{key}ema"."ta""ble; DROP TABLE device"'
    columns = ("--topic", "{table}", "--payload", "Pay load", "--received-at", "from", "--key", "select")
    await succeeds(stack, "--table", name, *columns, "--limit", 2)
    await succeeds(stack, "--table", name, *columns)
    found = await streams.entries(stack)
    assert [fields[b"payload"] for fields in found] == [b"8", b"9", b"10", b"11"]
    assert {fields[b"received_at"] for fields in found} == {b"1767225600500"}, "a time without a zone is in UTC"
    assert await stack.count("device") == 0


async def test_the_time_of_receipt_is_found_by_its_name_and_type(stack: Stack) -> None:
    await stack.execute(
        "CREATE TABLE raw (id int PRIMARY KEY, topic text, payload text, ts bigint, created_at timestamptz)"
    )
    await stack.execute("INSERT INTO raw VALUES (1, 't', 'p', 5, '2026-01-01Z'), (2, 't', 'p', 5, NULL)")
    await succeeds(stack, "--table", "raw")
    first, second = await streams.entries(stack)
    assert first[b"received_at"] == b"1767225600000"
    assert int(second[b"received_at"]) > 1_767_225_600_000


async def test_a_view_with_a_key_that_is_named(stack: Stack) -> None:
    await make_table(stack, history(3))
    await stack.execute("CREATE VIEW messages AS SELECT id AS number, topic, payload FROM backend.raw_message")
    assert "has no primary key of one column" in await refused(stack, "--table", "messages")
    assert await succeeds(stack, "--table", "messages", "--key", "number") == "3 messages imported\n"


async def test_a_database_of_its_own(stack: Stack) -> None:
    await make_table(stack, history(3))
    elsewhere = "postgresql://127.0.0.1:1/absent"
    words = (*TABLE, "--database-url", stack.database_url)
    assert await succeeds(stack, *words, DATABASE_URL=elsewhere) == "3 messages imported\n"
    done = await imports(stack, *TABLE, "--database-url", "postgresql://me:secret@127.0.0.1:1/absent")
    assert (done.exit_code, len(done.stderr.splitlines())) == (1, 1)
    assert done.stderr.startswith("--database-url=postgresql://me:***@127.0.0.1:1/absent: ")


async def test_large_payloads_are_read_a_few_at_a_time(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = [("t", b"%d" % number * 1000) for number in range(5)]
    await make_table(stack, sent)
    monkeypatch.setattr(tables, "BATCH_BYTES", 2500)
    sizes: list[int] = []
    take = tables.TableSource.take

    async def counting(self: Any, *arguments: Any) -> Any:
        taken = await take(self, *arguments)
        sizes.append(len(taken))
        return taken

    monkeypatch.setattr(tables.TableSource, "take", counting)
    await succeeds(stack, *TABLE)
    assert sizes == [2, 2, 1, 0]
    assert [payload for _, payload in await entries(stack)] == [payload for _, payload in sent]


async def test_rows_that_are_no_messages_stop_everything_unless_they_are_left_out(stack: Stack) -> None:
    await stack.execute("CREATE TABLE raw (id int UNIQUE, topic text, payload text, received_at timestamptz)")
    await stack.execute(
        "INSERT INTO raw VALUES (1, 't', 'p', NULL), (2, NULL, 'p', NULL), (3, 't', NULL, NULL),"
        " (4, 't', 'p', '1999-12-31Z'), (5, 't', 'p', 'infinity'), (6, 't', 'p', '4000-01-01 BC'),"
        " (NULL, 't', 'p', NULL)"
    )
    words = ("--table", "raw", "--key", "id")
    done = await imports(stack, *words)
    assert (done.exit_code, done.stdout) == (1, "")
    time = "the time of receipt is not between the years 2000 and 9999"
    assert done.stderr.splitlines()[:-1] == [
        "public.raw, id 2: the topic is NULL",
        "public.raw, id 3: the payload is NULL",
        *(f"public.raw, id {number}: {time}" for number in (4, 5, 6)),
        "public.raw, id NULL: the key is NULL",
    ]
    assert await appended(stack) == 0
    assert json.loads(await succeeds(stack, *words, "--skip-invalid", "--json")) == {
        "imported": 1,
        "before": 0,
        "invalid": 6,
        "left": 0,
    }
    dry = await succeeds(stack, *words, "--skip-invalid", "--dry-run")
    assert dry.splitlines()[-1].startswith("dry run, nothing was imported: 5 can't be imported")


async def test_what_can_t_work_is_one_line(stack: Stack) -> None:
    await make_table(stack, [MESSAGE])
    await stack.execute('CREATE TABLE "Raw" (a int, topic bytea, payload text, PRIMARY KEY (a, payload))')
    await stack.execute("""INSERT INTO "Raw" VALUES (1, 't', 'p'), (1, 't', 'q')""")
    assert "there is no such table or view" in await refused(stack, "--table", "absent")
    assert "a name with capitals is written as in SQL" in await refused(stack, "--table", "Raw")
    assert "--table a.b.c.d: " in await refused(stack, "--table", "a.b.c.d")
    assert '--table ": ' in await refused(stack, "--table", '"')
    assert "has no primary key of one column" in await refused(stack, "--table", '"Raw"')
    assert "is bytea, not text" in await refused(stack, "--table", '"Raw"', "--key", "a")
    columns = 'public."Raw" has no column absent; it has a, topic, payload'
    assert columns in await refused(stack, "--table", '"Raw"', "--key", "absent")
    repeated = await refused(stack, "--table", '"Raw"', "--key", "a", "--topic", "payload")
    assert repeated.startswith('public."Raw", a 1 is there twice: ')
    assert "is bigint, not a timestamp" in await refused(stack, *TABLE, "--received-at", "id")


async def test_a_role_that_sees_only_a_part_or_nothing_is_refused(stack: Stack) -> None:
    await make_table(stack, [MESSAGE])
    async with login_role(stack, "") as url:
        words, role = (*TABLE, "--database-url", url), url.partition("//")[2].partition(":")[0]
        await stack.execute(f"GRANT USAGE ON SCHEMA backend TO {role}")
        assert "connect as a role that may read the table" in (await imports(stack, *words)).stderr
        await stack.execute(f"GRANT SELECT ON backend.raw_message TO {role}")
        await stack.execute("ALTER TABLE backend.raw_message ENABLE ROW LEVEL SECURITY")
        assert "may see only a part of it" in await refused(stack, *words)
        await stack.execute("ALTER TABLE backend.raw_message DISABLE ROW LEVEL SECURITY")
        assert await succeeds(stack, *words) == "1 message imported\n"
