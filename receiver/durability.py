"""When a message counts as safe: in Redis's memory or in its append-only file on disk, and on so many replicas."""

from __future__ import annotations

import logging
import time
from enum import Enum
from typing import Any

from redis import exceptions
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, ResponseError

from traksense_ingest.shared.errors import ConfigurationError
from traksense_ingest.shared.failure import Unusable
from traksense_ingest.shared.streams import connection as redis_connection

REPLICAS_MS = 1_000  # how long replicas may take to answer that they are there
WAIT_MS = 4_000  # below the socket's timeout of 5 s
ASK_AGAIN_S = 1.0  # how often a server that guarantees less than it could is asked again
# A replica can confirm what its master has lost only after the master became a replica, loaded all data of the new
# master and became a master again, and the replica followed it. That takes longer than this.
TWO_FAILOVERS_S = 0.01

log = logging.getLogger(__name__)


class Guarantee(Enum):
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


_FAILOVER = (
    "INGEST_REPLICAS is 0: if a replica of this Redis is promoted, acknowledged messages that were not yet replicated "
    "are lost"
)
_ON_DISK = "replicas also need appendonly yes, and appendfsync always or everysec"
_WARNINGS = frozenset({Guarantee.A_SECOND, Guarantee.MAY_NOT_WAIT, Guarantee.NO_FILE})
_NOT_ENOUGH = {
    Guarantee.MAY_NOT_WAIT: "INGEST_DURABILITY=aof, but the user in REDIS_URL may not run WAITAOF",
    Guarantee.NO_FILE: "INGEST_DURABILITY=aof, but this Redis has no append-only file (appendonly no)",
}


class Durability:
    """What a server guarantees under INGEST_DURABILITY and INGEST_REPLICAS. One for all connections: a change is logged
    once."""

    def __init__(self, wanted: str, replicas: int = 0, *, may_fail_over: bool = False, is_logged: bool = True) -> None:
        """`wanted` is INGEST_DURABILITY. `may_fail_over`: a replica may take the server's place by itself.
        `is_logged` is False for a caller that keeps its messages elsewhere, too."""
        self._wanted = wanted
        self.replicas = replicas
        self._is_logged = is_logged
        self._last_logged: Guarantee | None = None
        self._may_fail_over = may_fail_over
        self._is_warned = False  # of what a failover may lose

    @property
    def commands(self) -> tuple[str, ...]:
        """Those that the user in REDIS_URL must be allowed to run for it."""
        return ("WAIT 1 1", "INFO replication") if self.replicas else ()

    async def ask(self, client: Redis) -> Guarantee:
        """What the server guarantees now, on one connection; logs what can be lost all the same, when that has changed.

        Raises ConfigurationError when INGEST_DURABILITY=aof and the server has no append-only file, and Unusable with
        fewer replicas than INGEST_REPLICAS. An outage is no answer: it is raised, and so is what a replica says.
        """
        await client.ping()  # so that what is wrong with the connection isn't taken for an answer to WAITAOF
        guarantee, replicas = (Guarantee.MEMORY, 0) if self._wanted == "memory" else await _guarantee_of(client)
        if self._wanted == "aof" and guarantee in _NOT_ENOUGH:
            raise ConfigurationError(_NOT_ENOUGH[guarantee])
        if self.replicas and (connected := await _wait(client, self.replicas, REPLICAS_MS)) < self.replicas:
            server = redis_connection.address_of(client)
            raise Unusable(f"{server} has {counted(connected)}, and INGEST_REPLICAS is {self.replicas}")
        if self._is_logged:
            self._log(guarantee, replicas)
        return guarantee

    def _log(self, guarantee: Guarantee, replicas: int) -> None:
        """`replicas` are those that the server has, where it has said so."""
        about = {"component": "redis", "guarantee": guarantee.name, "replicas": self.replicas}
        if guarantee is not self._last_logged:
            self._last_logged = guarantee
            level = logging.WARNING if guarantee in _WARNINGS else logging.INFO
            copies = f", and {counted(self.replicas)} must have it, too (INGEST_REPLICAS)" if self.replicas else ""
            log.log(level, "durability: %s%s", guarantee.value, copies, extra=about)
        if (replicas or self._may_fail_over) and not self.replicas and not self._is_warned:
            self._is_warned = True
            log.warning("durability: %s", _FAILOVER, extra=about)


class DurabilityBarrier:
    """Holds back the PUBACKs of what one connection writes until it is as safe as this very connection guarantees."""

    def __init__(self, durability: Durability, client: Redis, stream: str) -> None:
        self._durability = durability
        self._client = client
        self._stream = stream
        self._guarantee: Guarantee | None = None
        self._replication_id = ""  # the server's, from before the writes; with INGEST_REPLICAS only
        self._asked_at = 0.0
        self._prepared_at = 0.0

    def forget(self) -> None:
        """Something failed: the next connection may lead to another server, or to one with another configuration."""
        self._guarantee = None

    async def prepare(self) -> None:
        """Called before a write: ask what the server guarantees, if unknown. Raises what `Durability.ask` does."""
        if self._guarantee is None or (self._may_improve() and time.monotonic() - self._asked_at >= ASK_AGAIN_S):
            await self._ask()
            self._replication_id = await _replication_id_of(self._client) if self._durability.replicas else ""
        self._prepared_at = time.monotonic()

    async def late(self) -> Unusable | None:
        """None once what was written is as safe as the server guarantees; else why it is not yet, after 4 s.

        Raises RedisError when nothing is known of it: the connection was lost, the server became a replica, another one
        has become the master; and ConfigurationError when the server has lost its append-only file and that was a
        condition.
        """
        late = await self._confirm()
        if late is None and self._may_be_lost() and await _replication_id_of(self._client) != self._replication_id:
            raise exceptions.ConnectionError(
                f"{self._where}: the server was a replica meanwhile, and may have lost the last messages"
            )
        return late

    async def _confirm(self) -> Unusable | None:
        replicas = self._durability.replicas
        if self._guarantee is not Guarantee.WAITAOF:
            return await self._missing(await _wait(self._client, replicas, WAIT_MS)) if replicas else None
        try:
            local, copies = await self._client.waitaof(1, replicas, WAIT_MS)
        except ResponseError as error:
            if not _is_answer(error):
                raise
            await self._ask()  # its configuration has changed: the new guarantee holds for what is written already, too
            return await self._confirm()
        missing = await self._missing(copies)
        if local < 1:
            return Unusable(f"{self._where}: the append-only file has not been fsynced for {WAIT_MS // 1000} s")
        return missing

    async def _missing(self, copies: int) -> Unusable | None:
        """Why replicas have not confirmed what was written, where `copies` of them have. Raises ConnectionError if they
        may never do so, since another server has become the master."""
        replicas = self._durability.replicas
        if copies >= replicas:
            return None
        text = f"{self._where}: {copies} of {counted(replicas)} confirmed the last messages"
        if await redis_connection.is_outdated(self._client):
            raise exceptions.ConnectionError(f"{text}; another server has become the master")
        if self._guarantee is Guarantee.WAITAOF:
            in_memory = await _wait(self._client, replicas, 1) - copies
            text += f"; only in memory: {in_memory} ({_ON_DISK})" if in_memory > 0 else ""
        return Unusable(text)

    @property
    def _where(self) -> str:
        return f"{self._stream} on {redis_connection.address_of(self._client)}"

    async def _ask(self) -> None:
        self._guarantee = await self._durability.ask(self._client)
        self._asked_at = time.monotonic()

    def _may_be_lost(self) -> bool:
        return self._durability.replicas > 0 and time.monotonic() - self._prepared_at >= TWO_FAILOVERS_S

    def _may_improve(self) -> bool:
        return self._guarantee not in (Guarantee.WAITAOF, Guarantee.MEMORY)


def counted(replicas: int) -> str:
    """With the noun: 1 replica, 2 replicas."""
    return f"{replicas} replica{'s' * (replicas != 1)}"


async def _wait(client: Redis, replicas: int, timeout_ms: int) -> int:
    """How many replicas have what this connection has written. A connection that has written nothing: how many there
    are."""
    return int(await client.wait(replicas, timeout_ms))


async def _replication_id_of(client: Redis) -> str:
    """The id of the server's replication history: another one once a replica is promoted to be a master, and for a
    master whose replicas have been gone for an hour (repl-backlog-ttl).

    A master that becomes a replica loses what the new master doesn't have, but keeps its connections. As a master again
    it counts what they wrote as replicated once the new history is as long as the old one was.
    """
    replication: Any = await client.info("replication")
    return str(replication.get("master_replid", ""))


async def _guarantee_of(client: Redis) -> tuple[Guarantee, int]:
    """And how many replicas there are, if the answer says so."""
    try:
        _, replicas = await client.waitaof(1, 0, 1)
    except NoPermissionError:
        return Guarantee.MAY_NOT_WAIT, 0
    except ResponseError as error:
        if not _is_answer(error):
            raise
        return Guarantee.NO_FILE if _is_off(error) else await _guarantee_without_waitaof(client), 0
    return Guarantee.WAITAOF, int(replicas)


def _is_answer(error: ResponseError) -> bool:
    """Whether an error of WAITAOF shows what the server can guarantee; any other, as a replica's, is an outage."""
    return isinstance(error, NoPermissionError) or _is_off(error) or "unknown command" in str(error).lower()


def _is_off(error: ResponseError) -> bool:
    return "appendonly" in str(error)


async def _guarantee_without_waitaof(client: Redis) -> Guarantee:
    match await _aof_policy(client):
        case "off":
            return Guarantee.NO_FILE
        case "always":
            return Guarantee.ALWAYS
        case _:
            return Guarantee.A_SECOND


async def _aof_policy(client: Redis) -> str:
    """off, always, everysec, no, or unknown where we may not ask."""
    try:
        found: Any = await client.config_get("appendonly", "appendfsync")
    except ResponseError:
        return await _is_aof_on(client)
    config = {str(key): str(value) for key, value in found.items()}
    return "off" if config.get("appendonly") == "no" else config.get("appendfsync", "unknown")


async def _is_aof_on(client: Redis) -> str:
    """off or unknown: CONFIG GET shows passwords as well, so a user may be allowed INFO alone."""
    try:
        persistence: Any = await client.info("persistence")
    except ResponseError:
        return "unknown"
    return "unknown" if persistence.get("aof_enabled") else "off"
