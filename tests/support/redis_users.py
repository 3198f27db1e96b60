"""The Redis users of docs/security.md."""

from __future__ import annotations

import asyncio
from typing import Any

from redis.asyncio import Redis

from tests.support.handbook import blocks
from tests.support.process import Process
from tests.support.stack import Stack
from traksense_ingest.shared.streams.keys import key_of, ledger_of

SECRET = "s3cret-of-the-test"
TRIED = {b"client|setinfo", b"config|get"}  # redis-py names itself; how Redis is configured is only worth a try
STREAM, LEDGER = key_of(0), ledger_of(0)


async def add_users(admin: Redis) -> None:
    """The users of docs/security.md, as the page has them for this version."""
    (lines,) = blocks("redis" if await has_waitaof(admin) else "redis-7.0")
    for line in lines.replace("PASSWORD", SECRET).splitlines():
        await acl(admin, *line.split()[1:])


async def has_waitaof(admin: Redis) -> bool:
    """Whether it is Redis 7.2 or newer, or Valkey."""
    version: str = (await admin.info("server"))["redis_version"]
    return tuple(map(int, version.split("."))) >= (7, 2)


async def acl(admin: Redis, *words: str) -> None:
    """Change a user's rules."""
    client: Any = admin
    assert await client.execute_command("ACL", "SETUSER", *words) in (True, b"OK")


async def refusals(admin: Any) -> list[Any]:
    """Every command that the ACL has refused so far."""
    entries = await admin.execute_command("ACL", "LOG")
    return [entry for entry in entries if not TRIED & set(entry)]


def as_user(stack: Stack, user: str, password: str = SECRET) -> str:
    """The URL of a stack's Redis, for a user."""
    return f"redis://{user}:{password}@127.0.0.1:{stack.redis_server.port}/0"


async def stops(process: Process, line: str) -> None:
    """It ends with exit code 2 and one line that says why."""
    assert await asyncio.to_thread(process.wait) == 2, process.log
    assert process.log.splitlines()[-1].startswith(line), process.log
    assert "Traceback" not in process.log
    assert SECRET not in process.log
