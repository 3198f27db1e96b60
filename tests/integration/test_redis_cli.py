"""docs/redis-cli.md: each of its commands does on real servers what the page shows.

`pytest tests/integration/test_redis_cli.py --rewrite` puts what they say now into the page.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from shared.shard import read_shard
from shared.stream import GROUP, key_of, ledger_of, shard_of
from tests.support.stack import Stack, telem
from tests.support.transcript import Direction, Shell, Step, rewritten, shape, steps
from tests.support.waiting import eventually

PAGE = Path(__file__).parents[2] / "docs" / "redis-cli.md"
STREAM, LEDGER = key_of(0), ledger_of(0)
LATER = '"inactive"'  # a field of XINFO CONSUMERS that Redis has had since 7.2

pytestmark = [
    pytest.mark.skipif(shutil.which("redis-cli") is None, reason="redis-cli is not installed"),
    pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed"),
]


class Scene:
    """What the page presupposes: a pipeline at work, a table that is locked, a shell beside it."""

    def __init__(self, stack: Stack, shell: Shell) -> None:
        self._stack = stack
        self._shell = shell
        self._locks = AsyncExitStack()

    async def run(self, step: Step) -> str:
        if " BLOCK " not in step.command:
            return await self._shell.run(step.command)
        waiting = asyncio.create_task(self._shell.run(step.command))
        await eventually(self._somebody_waits, "a client that waits for an entry")
        await self._stack.publish(telem("cold-room-0001", tenant="acme"))
        return await waiting

    async def follow(self, direction: Direction) -> None:
        match direction.text:
            case "a backlog, since the table is locked":
                await self._fill()
            case "as looker":
                await self._shell.run("export REDISCLI_AUTH=PASSWORD; user='--user looker'")
            case "as the default user":
                await self._shell.run("unset REDISCLI_AUTH user")
            case "the table is unlocked, and the backlog stored":
                await self._locks.aclose()
                await eventually(self._is_drained)
            case "stored":
                await eventually(self._is_drained)
            case other:
                raise AssertionError(f"{PAGE.name}: unknown direction {other!r}")

    async def _fill(self) -> None:
        await self._simulate("--messages", "1000", "--bad", "0.01")
        await eventually(self._is_drained)
        await eventually(lambda: self._stack.redis.hexists(LEDGER, "looks"), "a look at the ledger")
        await self._locks.enter_async_context(self._stack.locked("ts_measure"))
        await self._simulate("--messages", "206")
        await eventually(self._is_stuck, "two lanes that wait for the table")

    async def _simulate(self, *options: str) -> None:
        command = [sys.executable, "-m", "ops", "simulate", "--tenant", "acme", "--devices", "8", "--seed", "7"]
        pace = ["--rate", "2000", "--connections", "1", "--no-progress", *options]
        environment = {**os.environ, **self._stack.environment}
        await asyncio.to_thread(
            subprocess.run, [*command, *pace], env=environment, check=True, stdout=subprocess.DEVNULL
        )

    async def _is_drained(self) -> bool:
        return await self._stack.backlog() == 0

    async def _is_stuck(self) -> bool:
        shard = await read_shard(self._stack.redis, 0)
        return [consumer.pending > 0 for consumer in shard.consumers] == [True, True]

    async def _somebody_waits(self) -> bool:
        return any(
            "b" in client["flags"] and client["cmd"] == "xread" for client in await self._stack.redis.client_list()
        )

    async def close(self) -> None:
        await self._locks.aclose()


@pytest.fixture
async def scene(stack: Stack, tmp_path: Path) -> AsyncIterator[Scene]:
    await stack.receiver()
    await stack.writer(INGEST_BATCH_SIZE=20)
    environment = {
        **{name: value for name in ("PATH", "PYTHONPATH", "HOME") if (value := os.environ.get(name))},
        **stack.environment,
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "TERM": "dumb",
        "COLUMNS": "120",
        "PYTHON": sys.executable,
        "PORT": str(stack.redis_server.port),
    }
    async with Shell.started(tmp_path, environment) as shell:
        await shell.run('redis-cli() { command redis-cli -p "$PORT" $user "$@"; }')
        await shell.run('traksense-ingest() { "$PYTHON" -m ops "$@"; }')
        scene = Scene(stack, shell)
        yield scene
        await scene.close()


async def test_each_command_says_what_the_page_shows(scene: Scene, request: pytest.FixtureRequest) -> None:
    page = PAGE.read_text()
    said: list[tuple[Step, str]] = []
    for step in steps(page):
        if isinstance(step, Direction):
            await scene.follow(step)
        else:
            said.append((step, await scene.run(step)))
    if request.config.getoption("--rewrite"):
        PAGE.write_text(rewritten(page, said))
    else:
        assert [comparable(step, output) for step, output in said] == [
            comparable(step, "\n".join(step.output)) for step, _ in said
        ]


def comparable(step: Step, output: str) -> tuple[str, list[str]]:
    """A hash has no order, and each version of Redis a field more."""
    lines = shape(output).splitlines()
    if any(LATER in line for line in lines):
        lines = [
            line
            for place, line in enumerate(lines)
            if not any(LATER in near for near in lines[max(place - 1, 0) : place + 1])
        ]
    return step.command, sorted(lines) if "HGETALL" in step.command else lines


def test_the_page_finds_the_shard_of_a_device() -> None:
    (command,) = (
        step.command for step in steps(PAGE.read_text()) if isinstance(step, Step) and "crc32" in step.command
    )
    said = subprocess.run(command, shell=True, capture_output=True, text=True, check=True).stdout
    assert int(said) == shard_of(b"traksense/acme/site-01/cold-room-0001/telem", 4)


def test_a_group_and_streams_are_called_as_on_the_page() -> None:
    commands = [step.command for step in steps(PAGE.read_text()) if isinstance(step, Step)]
    assert any(f"'{STREAM}' {GROUP}" in command for command in commands)
    assert any(f"'{LEDGER}'" in command for command in commands)
