"""The table sparkplug_birth: the last BIRTH of each node and device, in the transaction of the batch that has it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from traksense_ingest.shared.database import transaction
from traksense_ingest.writer.decode.sparkplug import BirthCache
from traksense_ingest.writer.outcome import Birth, BirthKey
from traksense_ingest.writer.store import sql


async def upsert_births(connection: Any, births: Iterable[Birth]) -> None:
    """Keep the latest of each, unless a later one is there; sorted by key so that two writers can't deadlock."""
    await sql.execute(connection, sql.UPSERT_BIRTHS, latest(births))


class StoredBirths:
    """Reads the table into the cache of this process."""

    def __init__(self, pool: Any, cache: BirthCache) -> None:
        self._pool = pool
        self._cache = cache

    async def load(self, keys: Iterable[BirthKey]) -> None:
        """Learn the BIRTHs of these nodes and devices that are there. Raises what asyncpg raises."""
        async with transaction(self._pool) as connection:
            rows = await connection.fetch(sql.BIRTHS, *sql.columns(sorted(keys)))
        for row in rows:
            self._cache.learn(Birth(*row))


def latest(births: Iterable[Birth]) -> Sequence[Birth]:
    """Of each node or device the one that was born last, of equal ones the last; sorted by key."""
    found: dict[BirthKey, Birth] = {}
    for birth in births:
        key = birth.tenant_id, birth.device_key
        if key not in found or found[key].born_at <= birth.born_at:
            found[key] = birth
    return [found[key] for key in sorted(found)]
