"""KEDA's user of Redis, as docs/kubernetes.md creates it: it may ask how long a stream is, and nothing else."""

from __future__ import annotations

import re
import shlex

import pytest
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError

from tests.support.handbook import DOCS
from tests.support.stack import Stack
from traksense_ingest.shared.streams.keys import key_of


@pytest.mark.parametrize("protocol", [2, 3])
async def test_the_user_of_keda_sees_the_backlog(stack: Stack, protocol: int) -> None:
    (line,) = re.findall(r"^    (ACL SETUSER keda .*)$", (DOCS / "kubernetes.md").read_text(), re.MULTILINE)
    if await is_old(stack):
        line = line.replace("+client|setinfo ", "")
    await stack.redis_command(*shlex.split(line.replace(">PASSWORD", "'>PASSWORD'")))
    await stack.append("traksense/t/s/d/telem", b"{}")
    async with Redis.from_url(stack.redis_server.url, username="keda", password="PASSWORD", protocol=protocol) as keda:
        assert await keda.ping()
        assert await keda.xlen(key_of(0)) == 1
        with pytest.raises(NoPermissionError):
            await keda.xrange(key_of(0))
        with pytest.raises(NoPermissionError):
            await keda.xlen("another")


async def is_old(stack: Stack) -> bool:
    """Whether it is Redis 7.0."""
    version = (await stack.redis.info("server"))["redis_version"]
    return tuple(map(int, version.split(".")[:2])) < (7, 2)
