"""The points of rows that are older than the table device_point: found once after its migration, as writers write."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from traksense_ingest.ops.schema import sql
from traksense_ingest.ops.schema.migrate import lock
from traksense_ingest.shared import integrity
from traksense_ingest.shared.database import connected

POINTS = 10_000  # a transaction: a fifth of a second
TABLE = "public.ts_measure"  # where it has no chunks

Key = tuple[str, str, str]  # tenant, device and point

START: Key = ("", "", "")  # before all others

log = logging.getLogger(__name__)


class Portion(NamedTuple):
    """What one transaction has done."""

    new: int  # points that were added
    last: Key | None  # the last one's key; None at the end of the chunk


@dataclass
class EarlierPoints:
    """Adds them in portions, from the oldest chunk to the newest. It may be interrupted and run again: each portion is
    committed, and nothing is added twice."""

    url: str
    new: int = 0
    finished: set[str] = field(default_factory=set)  # chunks
    after: Key = START  # in the chunk that is not

    async def run(self) -> list[str]:
        """All of them, unless an earlier run did it; returns what was done, in lines. Raises what asyncpg raises, and
        Unusable."""
        async with connected(self.url, command_timeout=None) as connection:  # a chunk is as large as it is
            if await connection.fetchval(sql.HAS_EARLIER_POINTS):
                return []
            relations = await _relations(connection)
            if len(relations) > 1:
                log.info("adding the points of %d chunks to device_point", len(relations))
            for relation in relations:
                await self._add(connection, relation)
            await connection.execute(sql.NOTE_EARLIER_POINTS)
        return [f"device_point: {self.new} points of earlier rows"] if self.new else []

    async def _add(self, connection: Any, relation: str) -> None:
        """Those of a chunk, or of the whole table."""
        while relation not in self.finished:
            portion = await _add_portion(connection, relation, self.after)
            self.new += portion.new
            self.after = portion.last or START
            if portion.last is None:
                self.finished.add(relation)


async def _relations(connection: Any) -> list[str]:
    """The chunks, the oldest first, so that the first reading of a point comes first; or the table that has none."""
    if not (await connection.fetchrow(sql.EDITION) and await connection.fetchval(sql.IS_HYPERTABLE)):
        return [TABLE]
    return [row["name"] for row in await connection.fetch(sql.CHUNKS)]


async def _add_portion(connection: Any, relation: str, after: Key) -> Portion:
    """The points of a chunk that follow a key; all of them where it is compressed."""
    async with lock(connection):
        await integrity.require(connection)
        if not await connection.fetchval(sql.IS_THERE, relation):  # retention has dropped it
            return Portion(0, None)
        await connection.execute(sql.HOLD_CHUNK.format(name=relation))
        if relation != TABLE and await connection.fetchval(sql.IS_COMPRESSED, relation):
            points = sql.POINTS_OF_SEGMENTS.format(name=relation)
            found = await connection.fetchrow(sql.ADD_POINTS.format(points=points))
            return Portion(found["new"], None)
        points = sql.POINTS_OF_ROWS.format(name=relation)
        found = await connection.fetchrow(sql.ADD_POINTS.format(points=points), *after, POINTS)
    return Portion(found["new"], tuple(found["last"]) if found["found"] == POINTS else None)
