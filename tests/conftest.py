"""Fixtures: the servers of a session, and a stack of its own for each test."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.budget import examples
from tests.support.services import DEBIAN, EMBEDDED, Services, administer, database_url, missing
from tests.support.stack import Stack
from traksense_ingest.ops.embedded import Server, free_port, ports
from traksense_ingest.ops.schema.migrate import migrate

WORKERS = 8  # of pytest-xdist, at most
PREFIX = "traksense-tests-"
ROOM_NEEDED = 8 << 30  # bytes, for the temporary files of a run

# Without a deadline: an example takes as long as the machine is busy.
settings.register_profile("untimed", deadline=None, max_examples=examples(100))
settings.load_profile("untimed")

TEMPLATE = "migrated"

_numbers = itertools.count()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--services", choices=("embedded", "debian"), default="embedded")
    parser.addoption("--rewrite", action="store_true", help="put what commands say now into docs/redis-cli.md")


def directory_in_memory() -> str | None:
    """Where a thousand databases and logs are made and deleted faster than on a disk; None if there is no room."""
    directory = "/dev/shm"
    has_room = os.access(directory, os.W_OK) and shutil.disk_usage(directory).free > ROOM_NEEDED
    return directory if has_room else None


def remove_leftovers(directory: Path) -> None:
    """What runs that were killed have left would take memory until the next start of the machine."""
    for path in directory.glob(f"{PREFIX}*"):
        pid = path.name.removeprefix(PREFIX).partition("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(path, ignore_errors=True)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """A directory of this run's own: each run of pytest closes the shared one to other users, and PostgreSQL, which
    must not run as root, would lose its data under its feet."""
    ports.ports = ports_of(os.environ.get("PYTEST_XDIST_WORKER", "gw0"))
    if config.option.basetemp is None:
        directory = directory_in_memory()
        if directory:
            remove_leftovers(Path(directory))
        config.option.basetemp = tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=directory)
        config.add_cleanup(lambda: shutil.rmtree(config.option.basetemp, ignore_errors=True))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A second run, on other servers, is for the tests that use them: to the others it would be the same again."""
    if config.getoption("--services") == "embedded":
        return
    others = [item for item in items if "services" not in getattr(item, "fixturenames", ())]
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if item not in others]


def pytest_collection_finish(session: pytest.Session) -> None:
    """What was collected stays: the garbage collector need not go over it again and again."""
    gc.collect()
    gc.freeze()


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
    with tempfile.TemporaryDirectory(prefix="traksense-", dir="/tmp") as sockets:  # their paths are limited
        os.chmod(sockets, 0o777)  # PostgreSQL runs as another user where we are root
        options = {
            "fsync": "off",  # nobody pulls the plug; a database is made and dropped for each test
            "unix_socket_directories": sockets,
        }
        with services.postgres_type(tmp_path_factory.mktemp("postgres"), free_port(), options) as server:
            yield server


@pytest.fixture
async def empty_database(postgres: Server) -> AsyncIterator[str]:
    """The URL of a database with nothing in it."""
    async with new_database(postgres) as url:
        yield url


@asynccontextmanager
async def new_database(postgres: Server, template: str | None = None) -> AsyncIterator[str]:
    """The URL of a database for as long as the block: an empty one, or a copy."""
    name = f"test_{next(_numbers)}"
    if template:
        grant = f"GRANT CONNECT, TEMPORARY ON DATABASE {name} TO traksense_writer"  # not copied
        await administer(postgres, f"CREATE DATABASE {name} TEMPLATE {template}", grant)
    else:
        await administer(postgres, f"CREATE DATABASE {name}")
    yield database_url(postgres, name)
    await administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def template(postgres: Server) -> str:
    """The name of a migrated database that others are copied from. Nobody may be connected to it meanwhile, not even
    TimescaleDB's scheduler."""

    async def create() -> None:
        await administer(postgres, f"CREATE DATABASE {TEMPLATE}")
        await migrate(database_url(postgres, TEMPLATE))
        await administer(
            postgres,
            f"ALTER DATABASE {TEMPLATE} ALLOW_CONNECTIONS false",
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{TEMPLATE}'",
        )

    asyncio.run(create())
    return TEMPLATE


@pytest.fixture
async def database(postgres: Server, template: str) -> AsyncIterator[str]:
    """The URL of a migrated database."""
    async with new_database(postgres, template) as url:
        yield url


@pytest.fixture
async def timescale(database: str, postgres: Server) -> str:
    """The URL of a migrated database that has TimescaleDB."""
    if not getattr(postgres, "has_timescaledb", False):
        pytest.skip("this PostgreSQL has no timescaledb")
    return database


@pytest.fixture
async def stack(services: Services, database: str, tmp_path: Path) -> AsyncIterator[Stack]:
    broker, redis = services.broker(tmp_path), services.redis(tmp_path)
    try:
        stack = Stack(broker, redis.start(), database, tmp_path)
        yield stack
        await stack.close()
    finally:
        broker.kill()  # nobody reads their data: an orderly stop would take a tenth of a second
        redis.kill()
