"""docs/redis-cli.md: each of its commands does on real servers what the page shows.

`pytest tests/integration/test_redis_cli.py --rewrite` puts what they say now into the page.
"""

from __future__ import annotations

import asyncio
import shlex
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.stack import Stack
from tests.support.transcript import Direction, Shell, Step, followed, rewritten, shape, steps
from tests.support.waiting import eventually
from traksense_ingest.ops.simulate.messages import encode, point, telem_v1
from traksense_ingest.shared.streams.keys import GROUP, key_of, ledger_of, shard_of
from traksense_ingest.shared.streams.snapshot import read_snapshot

PAGE = Path(__file__).parents[2] / "docs" / "redis-cli.md"
STREAM, LEDGER = key_of(0), ledger_of(0)
TOPIC = "traksense/acme/site-01/cold-room-0001/telem"
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
        await self._publish()
        return await waiting

    async def follow(self, direction: Direction) -> None:
        match direction.text:
            case "a backlog, since the table is locked":
                await self._fill()
            case "as inspector":
                await self._shell.run("export REDISCLI_AUTH=PASSWORD; user='--user inspector'")
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
        await self._simulate(1000, "--bad", "0.01")
        await eventually(self._is_drained)
        await eventually(lambda: self._stack.redis.hexists(LEDGER, "revision"), "a snapshot of the ledger")
        await self._locks.enter_async_context(self._stack.locked("ts_measure"))
        await self._simulate(206)
        await self._publish()  # the simulator's last message is now this one's and now that one's
        await eventually(self._is_newest, "one more entry")
        await eventually(self._is_stuck, "two lanes that wait for the table")

    async def _publish(self) -> None:
        points = [point("temp_air", -18.42, "float", "°C"), point("door", False, "bool")]
        await self._stack.publish((TOPIC, encode(telem_v1(datetime.now(UTC), points, {"fw": "1.3.0"}))))

    async def _is_newest(self) -> bool:
        newest: Any = await self._stack.redis.xrevrange(STREAM, count=1)
        ((_, fields),) = newest
        return bool(fields[b"topic"] == TOPIC.encode() and b"-18.42" in fields[b"payload"])

    async def _simulate(self, count: int, *options: str) -> None:
        """Publish so many messages, and wait until the last of them is in the stream."""
        before = (await read_snapshot(self._stack.clients, 0)).added
        fleet = ("--tenant", "acme", "--devices", "8", "--seed", "7")
        pace = ("--rate", "2000", "--connections", "1", "--no-progress", "--messages", str(count))
        done = await self._stack.command("simulate", *fleet, *pace, *options)
        assert done.returncode == 0, done.stderr

        async def is_appended() -> bool:
            return (await read_snapshot(self._stack.clients, 0)).added == before + count

        await eventually(is_appended, f"{count} more entries")

    async def _is_drained(self) -> bool:
        return await self._stack.backlog() == 0

    async def _is_stuck(self) -> bool:
        shard = await read_snapshot(self._stack.clients, 0)
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
    variables = stack.environment | {"COLUMNS": "120", "PORT": str(stack.redis_server.port)}
    async with Shell.started(tmp_path, variables) as shell:
        await shell.run('redis-cli() { command redis-cli -p "$PORT" $user "$@"; }')
        scene = Scene(stack, shell)
        yield scene
        await scene.close()


@pytest.mark.long
async def test_each_command_says_what_the_page_shows(scene: Scene, request: pytest.FixtureRequest) -> None:
    page = PAGE.read_text()
    said = await followed(scene, page)
    assert not [output for _, output in said if "(error)" in output]
    if request.config.getoption("--rewrite"):
        PAGE.write_text(rewritten(page, said))
        return
    for step, output in said:
        assert comparable(step, output) == comparable(step, "\n".join(step.output))


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


async def test_who_may_look_breaks_nothing(stack: Stack) -> None:
    (setuser,) = (step.command for step in commands() if "ACL SETUSER" in step.command)
    await stack.redis_command(*shlex.split(setuser)[1:])
    for command in (f"DEL {STREAM}", f"XTRIM {STREAM} MAXLEN 0", f"XACK {STREAM} {GROUP} 0-0", "FLUSHALL", "MONITOR"):
        assert b"no permissions" in await stack.redis_command("ACL", "DRYRUN", "inspector", *command.split()), command


def commands() -> list[Step]:
    return [step for step in steps(PAGE.read_text()) if isinstance(step, Step)]


def test_the_page_finds_the_shard_of_a_device() -> None:
    (command,) = (step.command for step in commands() if "crc32" in step.command)
    said = subprocess.run(command, shell=True, capture_output=True, text=True, check=True).stdout
    assert int(said) == shard_of(TOPIC.encode(), 4)


def test_keys_and_group_are_called_as_on_the_page() -> None:
    words = [word for step in commands() for word in step.command.split()]
    assert {f"'{STREAM}'", f"'{LEDGER}'", GROUP} <= set(words)
