"""When a message counts as safe: in Redis's memory, or in its append-only file on disk."""

from __future__ import annotations

import logging
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, ResponseError

from shared.outage import Misconfigured

WAIT_MS = 4_000  # below the socket's timeout of 5 s

log = logging.getLogger(__name__)


class Durability:
    """Whether a PUBACK waits for the disk, as INGEST_DURABILITY and the server allow."""

    def __init__(self, wanted: str) -> None:
        self._wanted = wanted
        self._waits = False

    async def detect(self, client: Redis) -> Durability:
        """Ask the server what it can promise, and say in one line what that leaves to lose; returns itself.

        Raises Misconfigured when INGEST_DURABILITY=aof and the server has no append-only file.
        """
        self._waits = False
        await client.ping()  # so that what is wrong with the connection isn't taken for an answer to WAITAOF
        if self._wanted == "memory":
            log.info("durability: a PUBACK means in Redis's memory (INGEST_DURABILITY=memory)")
            return self
        try:
            await client.waitaof(1, 0, 1)
        except NoPermissionError:
            self._may_not_wait()
        except ResponseError as error:
            await self._without_waitaof(client, str(error))
        else:
            self._waits = True
            log.info("durability: a PUBACK means on Redis's disk (WAITAOF)")
        return self

    async def confirm(self, client: Redis) -> None:
        """Return once what this connection has written is as safe as was promised.

        Raises ConnectionError when the connection is lost meanwhile: then nothing is known of it. Raises Misconfigured
        as `detect` does, when the server has lost its append-only file since.
        """
        while self._waits and not await self._is_on_disk(client):
            log.warning("redis has not written its append-only file for %d s", WAIT_MS // 1000)

    async def _is_on_disk(self, client: Redis) -> bool:
        try:
            local, _replicas = await client.waitaof(1, 0, WAIT_MS)
        except ResponseError:
            await self.detect(client)  # another server now, or reconfigured: a new promise, the batch is in it already
            return not self._waits
        return bool(local >= 1)

    async def _without_waitaof(self, client: Redis, reason: str) -> None:
        policy = await _aof_policy(client)
        if policy == "off" or "appendonly" in reason:
            self._no_file()
        elif policy == "always":
            log.info("durability: a PUBACK means on Redis's disk (appendfsync always)")
        else:
            log.warning(
                "durability: this Redis has no WAITAOF (7.2 has): if its machine dies, up to about 1 s of "
                "acknowledged messages is lost, unless it runs with appendfsync always"
            )

    def _may_not_wait(self) -> None:
        if self._wanted == "aof":
            raise Misconfigured("INGEST_DURABILITY=aof, but the user in REDIS_URL may not run WAITAOF")
        log.warning(
            "durability: the user in REDIS_URL may not run WAITAOF: if Redis dies, what of its append-only file is not "
            "on disk yet is lost, though it was acknowledged"
        )

    def _no_file(self) -> None:
        if self._wanted == "aof":
            raise Misconfigured("INGEST_DURABILITY=aof, but this Redis has no append-only file (appendonly no)")
        log.warning(
            "durability: this Redis has no append-only file: if it dies, every acknowledged message in the stream "
            "is lost (set appendonly yes)"
        )


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
