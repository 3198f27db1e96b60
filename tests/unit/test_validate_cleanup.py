"""A run removes its tenant, and says what may be left."""

from __future__ import annotations

import asyncio
import re
from typing import Self

import pytest

from traksense_ingest.ops.validate import cleanup, sql
from traksense_ingest.ops.validate.probe import Options, Probe
from traksense_ingest.shared import config
from traksense_ingest.shared.database import migrations


class Database:
    """A connection that has seen so many messages arrive and records what it executes."""

    def __init__(self, arrived: int) -> None:
        self.arrived = arrived
        self.executed: list[str] = []
        self.queried = asyncio.Event()

    async def fetchval(self, *_: object) -> int:
        self.queried.set()
        return self.arrived

    async def execute(self, statement: str) -> None:
        self.executed.append(statement)

    def transaction(self) -> Self:
        return self

    async def start(self) -> None:
        """Nothing to begin."""

    async def commit(self) -> None:
        """Nothing to keep."""

    def terminate(self) -> None:
        """Nothing to close."""


@pytest.fixture
def probe() -> Probe:
    return Probe(config.load(), Options(timeout=0.01), tenant="validate-1", published=3)


def serve(monkeypatch: pytest.MonkeyPatch, database: Database | None) -> None:
    async def connect(_url: str) -> Database:
        if database is None:
            raise ConnectionRefusedError("refused")
        return database

    monkeypatch.setattr("traksense_ingest.ops.validate.cleanup.database.connect", connect)


def test_every_table_with_a_tenant_is_cleaned() -> None:
    tables = re.findall(
        r"CREATE TABLE (?:IF NOT EXISTS public\.)?(\w+) \(([^;]*)\);",
        "".join(migration.sql for migration in migrations()),
    )
    assert {name for name, columns in tables if "tenant_id" in columns} == set(sql.TABLES)
    assert sql.removals("validate-1")[0] == "DELETE FROM ts_measure WHERE tenant_id = 'validate-1'"
    assert len(sql.removals("o'neill")) == 7
    assert "'o''neill'" in sql.removals("o'neill")[0]


async def test_what_has_arrived_is_removed(monkeypatch: pytest.MonkeyPatch, probe: Probe) -> None:
    database = Database(arrived=3)
    serve(monkeypatch, database)
    assert await cleanup.clean_up(probe) is None
    assert database.executed == sql.removals("validate-1")


async def test_nothing_published_is_nothing_to_do(monkeypatch: pytest.MonkeyPatch, probe: Probe) -> None:
    serve(monkeypatch, None)
    probe.published = 0
    assert await cleanup.clean_up(probe) is None


async def test_what_never_arrived_is_reported_with_the_sql(monkeypatch: pytest.MonkeyPatch, probe: Probe) -> None:
    database = Database(arrived=1)
    serve(monkeypatch, database)
    left = str(await cleanup.clean_up(probe))
    assert "2 of its messages did not arrive" in left
    assert "; ".join(sql.removals("validate-1")) in left
    assert database.executed == sql.removals("validate-1")


async def test_an_unreachable_database_is_reported(monkeypatch: pytest.MonkeyPatch, probe: Probe) -> None:
    serve(monkeypatch, None)
    assert "could not be removed (refused)" in str(await cleanup.clean_up(probe))


async def test_interrupted_while_it_waits_it_still_removes(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    database = Database(arrived=1)
    serve(monkeypatch, database)
    probe = Probe(config.load(), Options(timeout=60), tenant="validate-1", published=3)
    task = asyncio.create_task(cleanup.clean_up(probe))
    await database.queried.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert database.executed == sql.removals("validate-1")
    assert "may still arrive" in caplog.text
