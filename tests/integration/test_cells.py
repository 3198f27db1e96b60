"""docs/scaling.md: two pipelines on one broker, each with its own Redis and database, and `status` over both."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.conftest import new_database
from tests.support.handbook import blocks
from tests.support.services import Services
from tests.support.stack import Stack, telem
from tests.support.waiting import eventually
from traksense_ingest.ops.embedded import Server

CELLS = ("cell-a/.env", "cell-b/.env")


class Cells:
    """The commands of the page in a directory, with the test's servers in their place."""

    def __init__(self, directory: Path, addresses: dict[str, str]) -> None:
        self.directory = directory
        self.addresses = addresses
        program = directory / "traksense-ingest"  # as it is installed
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m traksense_ingest.ops "$@"\n')
        program.chmod(0o755)
        # Variables of the environment that must not count more than a cell's own.
        foreign = {"REDIS_URL": "redis://127.0.0.1:9/0", "METRICS_PORT": "0", "COLUMNS": "80"}
        self.environment = {**os.environ, "PATH": f"{directory}:{os.environ['PATH']}", "LOG_LEVEL": "INFO"}
        self.outside = self.environment | foreign

    def script(self, name: str) -> str:
        (text,) = blocks(f"sh {name}", "scaling.md")
        for theirs, ours in self.addresses.items():
            assert theirs in text or name != "cells", theirs
            text = text.replace(theirs, ours)
        return text

    async def run(self, script: str) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(
            subprocess.run,
            ["/bin/sh", "-c", script],
            cwd=self.directory,
            env=self.outside,
            capture_output=True,
            text=True,
            check=False,
        )

    async def report(self) -> tuple[int, dict[str, Any]]:
        _, as_json = self.script("see-cells").splitlines()
        done = await self.run(f"{as_json} --sample 0 --timeout 30")
        assert done.stderr == ""
        return done.returncode, json.loads(done.stdout)

    @contextmanager
    def running(self) -> Iterator[None]:
        """The processes of both, until the end of the block."""
        environment = {**self.environment, "METRICS_PORT": "0"}
        with (self.directory / "cells.log").open("wb") as log:
            shell = subprocess.Popen(
                ["/bin/sh", "-c", f"{self.script('run-cells')}wait"],
                cwd=self.directory,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            yield
        finally:
            os.killpg(shell.pid, signal.SIGKILL)
            shell.wait()


@pytest.fixture
async def cells(
    stack: Stack, services: Services, postgres: Server, template: str, tmp_path: Path
) -> AsyncIterator[Cells]:
    with services.redis(tmp_path / "b") as redis:
        async with new_database(postgres, template) as database:
            addresses = {
                "mqtt://broker:1883": stack.broker.url,
                "redis://redis-a:6379/0": stack.redis_server.url,
                "redis://redis-b:6379/0": redis.url,
                "postgresql://traksense:PASSWORD@database-a:5432/traksense": stack.database_url,
                "postgresql://traksense:PASSWORD@database-b:5432/traksense": database,
            }
            directory = tmp_path / "cells"
            directory.mkdir()
            yield Cells(directory, addresses)


async def tenants_in(database: str) -> dict[str, int]:
    connection = await asyncpg.connect(database)
    try:
        return dict(await connection.fetch("SELECT tenant_id, count(*) FROM ts_measure GROUP BY 1"))
    finally:
        await connection.close()


@pytest.mark.long
async def test_the_recipe_keeps_tenants_apart_and_status_shows_both(stack: Stack, cells: Cells) -> None:
    databases = [url for name, url in cells.addresses.items() if name.startswith("postgresql")]
    made = await cells.run(cells.script("cells"))
    assert (made.returncode, made.stderr) == (0, "")
    with cells.running():

        async def are_subscribed() -> bool:
            code, report = await cells.report()
            found = [receiver["broker"] for cell in report["cells"].values() for receiver in cell["receivers"] or ()]
            return code == 0 and found == [True, True]

        await eventually(are_subscribed, (cells.directory / "cells.log").read_text)
        await stack.publish(*(telem(second=second, tenant="acme") for second in range(30)))
        await stack.publish(*(telem(second=second, tenant="globex") for second in range(20)))
        await stack.publish(telem(tenant="nobody's"))
        for database, expected in zip(databases, ({"acme": 30}, {"globex": 20}), strict=True):
            await eventually(lambda database=database, expected=expected: has(database, expected))  # type: ignore[misc]
        code, report = await cells.report()
        stored = {file: [shard["stored"] for shard in cell["shards"]] for file, cell in report["cells"].items()}
        assert (code, report["ok"], stored) == (0, True, dict(zip(CELLS, ([30], [20]), strict=True)))
        clients = [cell["receivers"][0]["client_id"] for cell in report["cells"].values()]
        assert clients == ["cell-a-receiver", "cell-b-receiver"]

        shown = await cells.run(cells.script("see-cells").splitlines()[0])
        assert shown.returncode == 0, shown.stdout
        sections = [line for line in shown.stdout.splitlines() if line.startswith("=== ")]
        assert sections == [f"=== {file}" for file in CELLS]
        assert "ingest:{0}: 20 added = 20 stored" in shown.stdout.partition(f"=== {CELLS[1]}")[2]

        with (cells.directory / CELLS[1]).open("a") as file:
            file.write("REDIS_URL=redis://127.0.0.1:9/0\n")
        code, report = await cells.report()
        each = {file: (cell["ok"], cell["dependencies"]["redis"]["state"]) for file, cell in report["cells"].items()}
        assert (code, report["ok"]) == (1, False)
        assert each == dict(zip(CELLS, ((True, "up"), (False, "unreachable")), strict=True))


async def has(database: str, expected: dict[str, int]) -> bool:
    return await tenants_in(database) == expected


async def test_a_wrong_variable_is_named_with_its_file(cells: Cells) -> None:
    (cells.directory / "wrong.env").write_text("INGEST_SHARDS=many\n")
    refused = await cells.run("traksense-ingest status --env wrong.env")
    assert refused.returncode == 2
    assert refused.stderr.startswith("wrong.env: INGEST_SHARDS='many' is not allowed; allowed: ")
    missing = await cells.run("traksense-ingest status --env nowhere/.env")
    assert (missing.returncode, "nowhere/.env" in missing.stderr) == (2, True)
    watched = await cells.run("traksense-ingest status --env wrong.env --watch")
    assert watched.returncode == 2
    assert "--env: not together with --watch, --accept-loss or --dismiss" in watched.stderr
