"""docs/operations.md, Back up: its commands, and what a database means that is older than the streams."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.handbook import blocks
from tests.support.services import administer, database_url
from tests.support.stack import Stack, telem
from tests.support.waiting import eventually
from traksense_ingest.ops.embedded import Server
from traksense_ingest.ops.embedded.postgres import PostgresServer
from traksense_ingest.shared.streams.keys import key_of, ledger_of

NAME = "restored"
BEFORE, AFTER, LATER = ([telem(f"dev{place}", second) for second in range(20)] for place in range(3))


@pytest.fixture
async def restored(postgres: Server) -> AsyncIterator[str]:
    """The URL of an empty database."""
    await administer(postgres, f"CREATE DATABASE {NAME}")
    yield database_url(postgres, NAME)
    await administer(postgres, f"DROP DATABASE {NAME} WITH (FORCE)")


class Clerk:
    """Runs what the page says, with the programs of the server that is used."""

    def __init__(self, server: PostgresServer, directory: Path, **urls: str) -> None:
        self._directory = directory
        self._environment = {"PATH": f"{server._bin()}:{os.environ['PATH']}", **urls}

    async def run(self, script: str) -> None:
        command = ["bash", "-euo", "pipefail", "-c", script]
        ran = await asyncio.to_thread(
            lambda: subprocess.run(
                command, cwd=self._directory, env=self._environment, capture_output=True, text=True, check=False
            )
        )
        assert ran.returncode == 0, ran.stderr


@pytest.mark.long
async def test_a_restored_database_is_written_to_again_and_says_nothing_of_what_it_lacks(
    stack: Stack, postgres: PostgresServer, restored: str, tmp_path: Path
) -> None:
    clerk = Clerk(postgres, tmp_path, DATABASE_URL=stack.database_url, RESTORED_URL=restored)
    await stack.receiver()
    writer = await stack.writer()
    await stored(stack, BEFORE)
    (backup,), (restore,) = blocks("sh backup", "operations.md"), blocks("sh restore", "operations.md")
    has_chunks = await stack.fetchval("SELECT count(*) FROM pg_extension WHERE extname = 'timescaledb'")
    await clerk.run(backup)
    await stored(stack, AFTER)
    assert writer.stop() == 0
    await clerk.run(restore if has_chunks else restore.splitlines()[1])

    stack.database_url = restored
    assert await stack.count("ts_measure") == len(BEFORE)
    row, ledger = (
        await stack.fetchval("SELECT stored FROM stream_ledger"),
        await stack.redis.hget(ledger_of(0), "stored"),
    )
    assert int(ledger or 0) - row == len(AFTER)
    await stack.publish(*LATER)
    await stack.writer()
    await stack.has_rows("ts_measure", len(BEFORE) + len(LATER))
    status = await stack.status("--json")
    assert json.loads(status.stdout)["balanced"]
    if has_chunks:
        assert await stack.fetchval("SELECT count(*) FROM timescaledb_information.chunks") == 1
        await stack.execute("SELECT set_chunk_time_interval('ts_measure', INTERVAL '6 hours')")


async def stored(stack: Stack, messages: list[tuple[str, bytes]]) -> None:
    """Publish, and wait until the copy of the ledger has counted them, too."""
    before = await stack.fetchval("SELECT coalesce(sum(stored), 0) FROM stream_ledger")
    await stack.publish(*messages)

    async def is_copied() -> bool:
        now = await stack.fetchval("SELECT coalesce(sum(stored), 0) FROM stream_ledger WHERE stream = $1", key_of(0))
        return bool(now == before + len(messages))

    await eventually(is_copied, "a copy of the ledger")
