"""When a message counts as safe: in Redis's memory, or in its append-only file on disk."""

from __future__ import annotations

import logging
import time
from enum import Enum
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, ResponseError

from shared.outage import Misconfigured
from shared.tasks import end_if_cancelled

WAIT_MS = 4_000  # below the socket's timeout of 5 s
ASK_AGAIN_S = 1.0  # how long a promise holds that leaves to be desired

log = logging.getLogger(__name__)


class Promise(Enum):
    """What a PUBACK means on some server."""

    MEMORY = "a PUBACK means in Redis's memory (INGEST_DURABILITY=memory)"
    WAITAOF = "a PUBACK means on Redis's disk (WAITAOF)"
    ALWAYS = "a PUBACK means on Redis's disk (appendfsync always)"
    A_SECOND = (
        "this Redis has no WAITAOF (7.2 has): if its machine dies, up to about 1 s of acknowledged messages is lost, "
        "with a slow disk 2 s more, also if it dies alone; unless it runs with appendfsync always"
    )
    MAY_NOT_WAIT = (
        "the user in REDIS_URL may not run WAITAOF: if Redis dies, what of its append-only file is not "
        "on disk yet is lost, though it was acknowledged"
    )
    NO_FILE = (
        "this Redis has no append-only file: if it dies, every acknowledged message in the stream "
        "is lost (set appendonly yes)"
    )


_WARNINGS = frozenset({Promise.A_SECOND, Promise.MAY_NOT_WAIT, Promise.NO_FILE})
_NOT_ENOUGH = {
    Promise.MAY_NOT_WAIT: "INGEST_DURABILITY=aof, but the user in REDIS_URL may not run WAITAOF",
    Promise.NO_FILE: "INGEST_DURABILITY=aof, but this Redis has no append-only file (appendonly no)",
}


class Durability:
    """What INGEST_DURABILITY makes of a server. One for all connections: a change of the promise is told once."""

    def __init__(self, wanted: str) -> None:
        self._wanted = wanted
        self._told: Promise | None = None

    async def ask(self, client: Redis) -> Promise:
        """What the server promises now, on one connection; says in one line what that leaves to lose, when it is new.

        Raises Misconfigured when INGEST_DURABILITY=aof and the server has no append-only file. An outage is no answer:
        it is raised, and so is what a replica says.
        """
        await client.ping()  # so that what is wrong with the connection isn't taken for an answer to WAITAOF
        promise = Promise.MEMORY if self._wanted == "memory" else await _promise_of(client)
        if self._wanted == "aof" and promise in _NOT_ENOUGH:
            raise Misconfigured(_NOT_ENOUGH[promise])
        if promise is not self._told:
            self._told = promise
            log.log(logging.WARNING if promise in _WARNINGS else logging.INFO, "durability: %s", promise.value)
        return promise


class Confirmation:
    """Whether the PUBACKs of what one connection writes wait for the disk: as promised on this very connection."""

    def __init__(self, durability: Durability, client: Redis) -> None:
        self._durability = durability
        self._client = client
        self._promise: Promise | None = None
        self._asked_at = 0.0

    def forget(self) -> None:
        """Something failed: the next connection may be one to another server, or to one that was reconfigured."""
        self._promise = None

    async def prepare(self) -> None:
        """Called before a write: know what the server promises. Raises what `Durability.ask` does."""
        if self._promise is None or (self._may_improve() and time.monotonic() - self._asked_at >= ASK_AGAIN_S):
            await self._ask()

    async def confirm(self) -> None:
        """Return once what was written is as safe as was promised.

        Raises RedisError when nothing is known of it: the connection was lost, the server became a replica. Raises
        Misconfigured when the server has lost its append-only file and that was a condition.
        """
        while self._promise is Promise.WAITAOF and not await self._is_on_disk():
            end_if_cancelled()

    async def _is_on_disk(self) -> bool:
        try:
            local, _replicas = await self._client.waitaof(1, 0, WAIT_MS)
        except ResponseError as error:
            if not _is_answer(error):
                raise
            await self._ask()  # reconfigured: a new promise, for what is written already too
            return False
        if local < 1:
            log.warning("redis has not written its append-only file for %d s", WAIT_MS // 1000)
        return bool(local >= 1)

    async def _ask(self) -> None:
        self._promise = await self._durability.ask(self._client)
        self._asked_at = time.monotonic()

    def _may_improve(self) -> bool:
        return self._promise not in (Promise.WAITAOF, Promise.MEMORY)


async def _promise_of(client: Redis) -> Promise:
    try:
        await client.waitaof(1, 0, 1)
    except NoPermissionError:
        return Promise.MAY_NOT_WAIT
    except ResponseError as error:
        if not _is_answer(error):
            raise
        return Promise.NO_FILE if _is_off(error) else await _promise_without_waitaof(client)
    return Promise.WAITAOF


def _is_answer(error: ResponseError) -> bool:
    """Whether an error of WAITAOF tells what the server can promise; any other passes, as that of a replica."""
    return isinstance(error, NoPermissionError) or _is_off(error) or "unknown command" in str(error).lower()


def _is_off(error: ResponseError) -> bool:
    return "appendonly" in str(error)


async def _promise_without_waitaof(client: Redis) -> Promise:
    match await _aof_policy(client):
        case "off":
            return Promise.NO_FILE
        case "always":
            return Promise.ALWAYS
        case _:
            return Promise.A_SECOND


async def _aof_policy(client: Redis) -> str:
    """off, always, everysec, no, or unknown where we may not ask."""
    try:
        found: Any = await client.config_get("appendonly", "appendfsync")
    except ResponseError:
        return await _is_aof_on(client)
    config = {str(key): str(value) for key, value in found.items()}
    return "off" if config.get("appendonly") == "no" else config.get("appendfsync", "unknown")


async def _is_aof_on(client: Redis) -> str:
    """off or unknown: CONFIG GET tells passwords too, so a user may well be allowed INFO alone."""
    try:
        persistence: Any = await client.info("persistence")
    except ResponseError:
        return "unknown"
    return "unknown" if persistence.get("aof_enabled") else "off"
