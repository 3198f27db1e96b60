"""Which topic filters the session at the broker has, by what receivers of this client id have subscribed to so far.

A persistent session keeps a filter, and delivers what matches it, until it is unsubscribed. So what MQTT_TOPICS and
MQTT_SHARED_GROUP no longer name is unsubscribed once what they name now is subscribed. Redis keeps the filters as long
as the broker may keep the session, which may be for ever: a field of some hundred bytes for each client id.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from aiomqtt import MqttError
from redis.exceptions import ResponseError

from traksense_ingest.receiver.connection import Connection
from traksense_ingest.shared.failure import REDIS_ERRORS, describe
from traksense_ingest.shared.listing import listed
from traksense_ingest.shared.mapping.mappings import Mappings, Shards
from traksense_ingest.shared.streams.client import Clients, errors_name_key
from traksense_ingest.shared.streams.sharding import ShardKey

KEY = "ingest:{receivers}:filters"
TRIES = 3  # connections: a broker may end one because of an UNSUBSCRIBE that it does not like

log = logging.getLogger(__name__)


class Topics(NamedTuple):
    """What a receiver needs of mappings."""

    filters: Sequence[str]  # to subscribe to beside MQTT_TOPICS
    shard_key: ShardKey


def topics_of(mappings: Mappings) -> Topics:
    """The topics of mappings."""
    return Topics(mappings.filters(), Shards(mappings.routes).key)


class Filters:
    """Those to subscribe to, and obsolete ones that an earlier receiver of this client id has left in the session."""

    def __init__(self, clients: Clients, client_id: str, wanted: Sequence[str]) -> None:
        self._client = clients.of(KEY)
        self._client_id = client_id
        self.wanted = wanted
        self._obsolete: list[str] = []
        self._asked: set[str] = set()  # to be unsubscribed; the broker has yet to answer
        self._tries = 0
        self._changing = asyncio.Lock()  # what Redis has: read and written, in two steps

    async def remember(self) -> None:
        """Before the first SUBSCRIBE: read what was subscribed, and add what is going to be.

        Raises what redis-py raises in an outage. Where Redis refuses it, that is logged, and nothing is unsubscribed.
        """
        known = await self._record(self.wanted)
        self._obsolete = [name for name in known if name not in self.wanted]

    async def _record(self, names: Sequence[str]) -> Sequence[str]:
        """Add these to what Redis has; returns what it had."""
        try:
            async with self._changing:
                with errors_name_key(KEY):
                    known = await self._read()
                    if not set(known).issuperset(names):
                        await self._write([*dict.fromkeys([*known, *names])])
                    return known
        except ResponseError as error:
            text = "filters that MQTT_TOPICS no longer names can't be unsubscribed: %s"
            log.warning(text, describe(error), extra={"component": "redis", "client_id": self._client_id})
            return ()

    async def announce(self, others: Sequence[str]) -> None:
        """Before they are subscribed to, at other mappings: whatever the broker answers, the session may have them.

        Raises what redis-py raises in an outage; what Redis refuses is logged as by `remember`.
        """
        await self._record([*self.wanted, *others])

    def replace(self, wanted: Sequence[str]) -> None:
        """The broker has accepted these: the others are obsolete."""
        before, self.wanted = self.wanted, wanted
        self._add_obsolete(before)

    def withdraw(self, others: Sequence[str]) -> None:
        """The broker has not accepted all of these, and may have some of them."""
        self._add_obsolete(others)

    def _add_obsolete(self, names: Sequence[str]) -> None:
        self._obsolete = [name for name in dict.fromkeys([*self._obsolete, *names]) if name not in self.wanted]
        self._tries = 0

    async def unsubscribe_obsolete(self, connection: Connection) -> None:
        """Unsubscribe what is no longer wanted; what fails is tried again with the next connections.

        May be called again before the broker has answered, for what is obsolete by then.
        """
        names = [name for name in self._obsolete if name not in self._asked]
        if not names or not self._may_try(names):
            return
        self._asked.update(names)
        try:
            await connection.unsubscribe(names, math.inf)
        except MqttError:
            return
        finally:
            self._asked.difference_update(names)
        log.info("unsubscribed from %s", ", ".join(names), extra={"component": "broker", "filters": names})
        gone = {*names} - {*self.wanted}  # by now there may be other mappings
        self._obsolete = [name for name in self._obsolete if name not in gone]
        with contextlib.suppress(*REDIS_ERRORS):  # then the next start unsubscribes them again
            async with self._changing:
                await self._write([name for name in await self._read() if name not in gone])

    def _may_try(self, names: Sequence[str]) -> bool:
        """A connection ends for many reasons: only when several have ended without an answer that is logged, once."""
        self._tries += 1
        if self._tries == TRIES + 1:
            text = "could not unsubscribe from %s: %d connections have ended before the broker has answered"
            about = {"component": "broker", "filters": names}
            log.warning(text, listed(names), TRIES, extra=about)
        return self._tries <= TRIES

    async def forget(self) -> None:
        """The session has ended. Raises what redis-py raises."""
        forgotten: Any = self._client.hdel(KEY, self._client_id)
        await forgotten

    async def _read(self) -> list[str]:
        found: Any = self._client.hget(KEY, self._client_id)
        try:
            filters = json.loads(await found or "[]")
        except ValueError:  # somebody else has written it
            return []
        return [name for name in filters if isinstance(name, str)] if isinstance(filters, list) else []

    async def _write(self, filters: Sequence[str]) -> None:
        written: Any = self._client.hset(KEY, self._client_id, json.dumps(list(filters)))
        await written
