"""Retained messages, and how a test knows that all of them have been stored."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime

from tests.support.stack import Stack, telem
from tests.support.waiting import eventually

JANUARY = datetime(2026, 1, 1, tzinfo=UTC)
BAD = ("traksense/t/s/bad/telem", b"not JSON")


def ack(ok: bool, ts_exec: str | None = None) -> tuple[str, bytes]:
    payload = {"schema": "v1", "cmd_id": "c1", "ok": ok, "ts_exec": ts_exec}
    return "traksense/t/s/dev/ack", json.dumps(payload).encode()


async def retain(stack: Stack, *messages: tuple[str, bytes]) -> None:
    async with stack.client() as client:
        for topic, payload in messages:
            await client.publish(topic, payload, qos=1, retain=True)


class Sentinel:
    """A message that is stored when all that came before it is."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._seconds = itertools.count()

    async def passes(self) -> None:
        second = next(self._seconds)
        await self._stack.publish(telem("sentinel", second))
        await eventually(lambda: self._has(second + 1), "the sentinel is stored, and no backlog")

    async def _has(self, count: int) -> bool:
        rows = await self._stack.fetchval("SELECT count(*) FROM ts_measure WHERE device_id = 'sentinel'")
        return bool(rows == count and not await self._stack.backlog())
