"""Commands through pgbouncer and past it: `migrate` above all, and statement pooling, which is refused."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import asyncpg
import pytest

from tests.support.pgbouncer import Pgbouncer
from tests.support.pooled import MODES, messages, mode, pooled
from tests.support.program import Program
from tests.support.stack import Stack
from tests.support.waiting import eventually
from traksense_ingest.ops.schema.migrate import LOCK, migrate
from traksense_ingest.shared.database import migrations

pytestmark = pytest.mark.long


async def test_nothing_is_left_in_the_sessions_of_the_server(stack: Stack, pooler: Pgbouncer) -> None:
    """What a service or a command leaves in a session, the next one that gets it would find."""
    writer = await stack.writer(DATABASE_URL=pooler.url)
    for message in [*messages(10), *messages(10), ("traksense/t/site/dev/telem", b"no JSON")]:
        await stack.append(*message)
    await stack.has_rows("ingest_errors", 1)
    assert writer.stop() == 0
    await nothing_is_left(pooler)
    for words in (
        "migrate",
        "dlq list",
        "dlq replay --all --dry-run",
        "dlq export",
        "dlq replay --all",
        "dlq purge --older-than 0s --yes",
        "status --sample 0 --timeout 30 --skip broker",
    ):
        done = await run(stack, words, DATABASE_URL=pooler.url)
        assert done.returncode == 0 or words.startswith("status"), (words, done.stderr)
        assert "Traceback" not in done.stderr
        await nothing_is_left(pooler, words)


async def nothing_is_left(pooler: Pgbouncer, words: str = "") -> None:
    """In the session that was used last, which is the one that the pooler gives out."""
    async with pooled(pooler) as connection:
        assert await connection.fetch("SELECT name FROM pg_prepared_statements") == []
        set_here = await connection.fetch("SELECT name FROM pg_settings WHERE source = 'session'")
        assert {row["name"] for row in set_here} <= {"application_name", "client_encoding", "DateStyle", "TimeZone"}, (
            words
        )
        assert await connection.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0


@pytest.mark.parametrize("pooler", [mode("session"), mode("transaction")], indirect=True, ids=MODES)
async def test_migrations_through_a_pooler_and_past_it_at_once(stack: Stack, pooler: Pgbouncer) -> None:
    await stack.administer("CREATE DATABASE other_{name}")
    server, _, name = stack.database_url.rpartition("/")
    past, through = f"{server}/other_{name}", pooler.url.replace(f"/{name}", f"/other_{name}")
    async with asyncio.timeout(60):
        applied = await asyncio.gather(*map(migrate, (through, past, through, past, through)))
        assert sorted(migration.version for some in applied for migration in some) == [
            migration.version for migration in migrations()
        ]
        assert await migrate(past) == await migrate(through) == []
    await stack.administer("DROP DATABASE other_{name} WITH (FORCE)")


async def test_past_the_pooler_for_who_migrates(stack: Stack, pooler: Pgbouncer) -> None:
    nobody = pooler.url.replace("//postgres@", "//nobody@").rpartition("/")[0] + "/nowhere"
    done = await run(stack, "migrate", DATABASE_URL=nobody, MIGRATE_DATABASE_URL=stack.database_url)
    assert (done.returncode, done.stdout) == (0, "nothing to do: the database is up to date\n")
    wrong = await run(stack, "migrate", MIGRATE_DATABASE_URL=stack.database_url + "_not")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("MIGRATE_DATABASE_URL: database: database ")


@pytest.mark.parametrize("pooler", [mode("statement")], indirect=True, ids=["statement"])
async def test_statement_pooling_is_refused(stack: Stack, pooler: Pgbouncer) -> None:
    reason = "transaction blocks not allowed in statement pooling mode: statement pooling can't work"
    writer = stack.start("writer", DATABASE_URL=pooler.url)
    assert writer.wait() == 2
    assert writer.log.splitlines()[-1].startswith("DATABASE_URL: database: ")
    assert reason in writer.log.splitlines()[-1]
    migrating = await run(stack, "migrate", DATABASE_URL=pooler.url)
    assert (migrating.returncode, len(migrating.stderr.splitlines())) == (2, 1)
    assert reason in migrating.stderr
    replaying = await run(stack, "dlq replay --all", DATABASE_URL=pooler.url)
    assert replaying.returncode == 2
    assert "statement pooling can't work" in replaying.stderr


async def test_a_migrate_that_waits_names_the_session(stack: Stack, tmp_path: Path) -> None:
    """Also for one of an earlier version, whose lock is its session's."""
    other = await asyncpg.connect(stack.database_url)
    await other.execute(f"SELECT pg_advisory_lock({LOCK})")
    pid = await other.fetchval("SELECT pg_backend_pid()")
    out, err = tmp_path / "out", tmp_path / "err"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        waiting = Program("ops", "migrate", environment=stack.environment, stdout=stdout, stderr=stderr)
    await eventually(lambda: "\n" in err.read_text() or waiting.poll() is not None)
    assert f"waiting for another migrate (pid {pid}, since 20" in err.read_text()
    await other.close()
    assert await asyncio.to_thread(waiting.wait, 60) == 0
    assert out.read_text() == "nothing to do: the database is up to date\n"
    assert err.read_text().count("waiting") == 1, "it is logged once"


async def run(stack: Stack, words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return await stack.command(*words.split(), **variables)
