"""Fixtures: the servers of a session, and a stack of its own for each test."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from ops.embedded import Server, free_port, ports
from ops.migrate import migrate
from tests.support.services import DEBIAN, EMBEDDED, Services, administer, database_url, missing
from tests.support.stack import Stack

WORKERS = 8  # of pytest-xdist, at most

_numbers = itertools.count()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--services", choices=("embedded", "debian"), default="embedded")
    parser.addoption("--rewrite", action="store_true", help="put what commands say now into docs/redis-cli.md")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """A directory of this run's own: each run of pytest closes the shared one to other users, and PostgreSQL, which
    must not run as root, would lose its data under its feet."""
    ports.ports = ports_of(os.environ.get("PYTEST_XDIST_WORKER", "gw0"))
    if config.option.basetemp is None:
        config.option.basetemp = tempfile.mkdtemp(prefix="traksense-tests-")
        config.add_cleanup(lambda: shutil.rmtree(config.option.basetemp, ignore_errors=True))


def ports_of(worker: str) -> ports.Ports:
    """Ports that no other process of this run gives to its tests."""
    size = (ports.LAST - ports.FIRST) // WORKERS
    first = ports.FIRST + int(worker.removeprefix("gw")) % WORKERS * size
    return ports.Ports(first, first + size)


@pytest.fixture(scope="session")
def services(request: pytest.FixtureRequest) -> Services:
    chosen = DEBIAN if request.config.getoption("--services") == "debian" else EMBEDDED
    if absent := missing(chosen):
        pytest.skip(f"not installed here: {', '.join(absent)}")
    return chosen


@pytest.fixture(scope="session")
def postgres(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with services.postgres_type(tmp_path_factory.mktemp("postgres"), free_port()) as server:
        yield server


@pytest.fixture
async def empty_database(postgres: Server) -> AsyncIterator[str]:
    """The URL of a database with nothing in it."""
    name = f"test_{next(_numbers)}"
    await administer(postgres, f"CREATE DATABASE {name}")
    yield database_url(postgres, name)
    await administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def database(empty_database: str) -> str:
    """The URL of a migrated database."""
    await migrate(empty_database)
    return empty_database


@pytest.fixture
async def timescale(database: str, postgres: Server) -> str:
    """The URL of a migrated database that has TimescaleDB."""
    if not getattr(postgres, "has_timescaledb", False):
        pytest.skip("this PostgreSQL has no timescaledb")
    return database


@pytest.fixture
async def stack(services: Services, database: str, tmp_path: Path) -> AsyncIterator[Stack]:
    with services.broker(tmp_path) as broker, services.redis(tmp_path) as redis:
        stack = Stack(broker, redis, database, tmp_path)
        yield stack
        await stack.close()
