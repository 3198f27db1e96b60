"""What the tests of several files need: stacks with users of Redis, other brokers or a pooler; a console; Compose."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.compose import image
from tests.compose.engine import lacking
from tests.compose.project import Project
from tests.support.brokers import stack_on
from tests.support.budget import few_of
from tests.support.console import Browser, Console, running
from tests.support.first_version import Kind
from tests.support.old_database import OldDatabase, create_old_database
from tests.support.pgbouncer import Pgbouncer
from tests.support.redis_users import add_users
from tests.support.services import Services
from tests.support.stack import Stack
from tests.support.up import Up, children_in
from tests.support.waiting import eventually
from traksense_ingest.ops.embedded import Server, free_port
from traksense_ingest.ops.embedded.debian import Mosquitto


@pytest.fixture
async def guarded(stack: Stack) -> Stack:
    """A stack whose Redis has the users; its own connection remains the administrator's."""
    await add_users(stack.redis)
    return stack


@pytest.fixture
async def retaining(services: Services, database: str, tmp_path: Path) -> AsyncIterator[Stack]:
    """With Mosquitto, which sends retained messages at each SUBSCRIBE and keeps them over a restart."""
    if not Mosquitto.installed():
        pytest.skip("not installed here: Mosquitto")
    async with stack_on(Mosquitto(tmp_path / "mosquitto", free_port()), services, database, tmp_path) as stack:
        yield stack


@pytest.fixture
def pooler(request: pytest.FixtureRequest, stack: Stack, tmp_path: Path) -> Iterator[Pgbouncer]:
    """A pgbouncer in front of the stack's database, in transaction mode with one session of the server unless the
    test gives other settings."""
    if not Pgbouncer.installed():
        pytest.skip("pgbouncer is not installed here")
    settings = getattr(request, "param", {"pool_mode": "transaction", "default_pool_size": "1"})
    with Pgbouncer(tmp_path / "pgbouncer", free_port(), stack.database_url, settings) as pooler:
        yield pooler


@pytest.fixture
async def console(stack: Stack, tmp_path: Path) -> AsyncIterator[Console]:
    """A console of the stack, without users."""
    async with running(stack.environment, tmp_path) as console:
        yield console


@pytest.fixture
async def browser(console: Console) -> Browser:
    """One that has opened the console's link."""
    return await asyncio.to_thread(console.operator)


@pytest.fixture
async def up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Up]:
    """The command `up` in a directory of its own, which is the current one meanwhile."""
    monkeypatch.chdir(tmp_path)
    up = Up(tmp_path)
    yield up
    if up.process.poll() is None:
        up.process.kill()
        up.process.wait()
    await eventually(lambda: not children_in(tmp_path), "no child outlives it")


@pytest.fixture
async def owner_of_empty(empty_database: str) -> AsyncIterator[Any]:
    """Its owner's connection, which keeps no plans: tables change their places."""
    owner = await asyncpg.connect(empty_database, statement_cache_size=0)
    await owner.execute("SET timezone = 'UTC'")
    yield owner
    await owner.close()


@pytest.fixture(params=few_of(["uuid", "text"], 1))
async def old(
    request: pytest.FixtureRequest, empty_database: str, owner_of_empty: Any, postgres: Server
) -> OldDatabase:
    """A database of the first version, with each type of ids that it may have."""
    kind = Kind(request.param, bool(getattr(postgres, "has_timescaledb", False)))
    return await create_old_database(empty_database, owner_of_empty, kind)


@pytest.fixture
async def project(tmp_path: Path) -> AsyncIterator[Project]:
    """docker-compose.yml on the engine of this machine, with the image of this repository."""
    if reason := lacking():
        pytest.skip(reason)
    image.make()
    project = Project(f"traksense-test-{os.getpid()}", tmp_path)
    await project.compose("build receiver")
    try:
        yield project
        assert (await project.tries("down")).returncode == 0
        assert project.left_behind() == []
    finally:
        await project.tries("--profile * down --volumes --remove-orphans")
