"""Copies the first version's rows, in portions that are committed one by one: it may be killed and run again.

The newest come first, since they are asked for first. A portion is some blocks of a chunk, from its end to its
beginning; nobody writes there any more, so a block's number is all that has to be remembered.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

import asyncpg

from traksense_ingest.ops.adopt import sql
from traksense_ingest.ops.adopt.database import COPYING, OLD, Chunk, blocks, chunks, has_relation, state, transaction
from traksense_ingest.ops.schema import Refused
from traksense_ingest.shared import integrity
from traksense_ingest.shared.messages import POISON_REASONS

BLOCKS = 512  # of a portion: 4 MiB, some 40 000 rows
ROWS = {"tenant": sql.TENANT, "device": sql.DEVICE, "point": sql.POINT, "names": sql.POINT_NAMES}


class Progress(Protocol):
    """Is given how much was done."""

    def advance(self, blocks: int) -> None:
        """So many blocks more."""


@dataclass
class Copier:
    """Copies everything but the aggregates' history, on a connection of its own."""

    connection: Any
    progress: Progress

    async def run(self) -> None:
        """All that is left. Raises what asyncpg raises, and Unusable."""
        await self._once("cmd_ack", self._acks)
        await self._once("ingest_errors", self._dead_letters)
        for chunk in await chunks(self.connection, OLD):
            await self._chunk(chunk)
        await self._require_all()

    async def _require_all(self) -> None:
        """Raise Refused where rows are missing: somebody has changed the old tables meanwhile, or compressed them."""
        async with transaction(self.connection):
            rows = await self.connection.fetchval(sql.of("number_of", table=f"{OLD}.ts_measure"))
            copied = await self.connection.fetchval(sql.of("copied_rows"))
            left = await self.connection.fetchval(sql.of("incomplete_measures"))
        if rows != copied + left:
            await self.connection.execute(sql.of("forget_parts"))
            raise Refused(
                f"--adopt: {OLD}.ts_measure has {rows} rows and {copied} were copied, since something has changed it "
                "meanwhile: run the command again, which begins again and changes nothing that is stored"
            )

    async def blocks(self) -> int:
        """How many are to be copied in all, done or not."""
        return sum([await blocks(self.connection, chunk) for chunk in await chunks(self.connection, OLD)])

    async def _chunk(self, chunk: Chunk) -> None:
        size = await blocks(self.connection, chunk)
        part = await self.connection.fetchrow(sql.of("part"), chunk.name)
        if part and part["is_done"]:
            self.progress.advance(size)
            return
        if chunk.is_compressed:
            await self.connection.execute(sql.of("decompress", chunk=chunk.name))
            size = await blocks(self.connection, chunk)
        last, step = (part["position"] if part else size), BLOCKS
        self.progress.advance(size - last)
        while last > 0:
            first = max(0, last - step)
            try:
                await self._portion(chunk, first, last)
            except asyncpg.OutOfMemoryError:  # too many chunks of ours for max_locks_per_transaction
                if step == 1:
                    raise
                step //= 2
                continue
            self.progress.advance(last - first)
            last = first
        if size == 0:
            await self.connection.execute(sql.of("set_part"), chunk.name, 0, True)

    async def _portion(self, chunk: Chunk, first: int, last: int) -> None:
        async with transaction(self.connection):
            await integrity.require(self.connection)
            await self._require_turn(chunk, last)
            take = sql.of("take_portion", chunk=chunk.name, first=first, last=last, **ROWS)
            await self.connection.execute(take)
            counted = await self.connection.fetchrow(sql.of("store_portion"))
            if counted and counted["stored"] < counted["read"]:
                limits = await self.connection.fetchrow(sql.of("limits"))
                await self.connection.execute(sql.of("keep_conflicts"), limits["first"], limits["last"])
            await self.connection.execute(sql.of("store_devices"))
            await self.connection.execute(sql.of("store_points"))
            await self.connection.execute(sql.of("keep_points"))
            await self.connection.execute(sql.of("set_part"), chunk.name, first, first == 0)

    async def _require_turn(self, chunk: Chunk, last: int) -> None:
        """Raise Refused where somebody else has ended the adoption meanwhile, or copies as well."""
        found = await state(self.connection)
        if found is None or found.status != COPYING:
            raise Refused("--adopt: it was undone meanwhile")
        part = await self.connection.fetchrow(sql.of("part"), chunk.name)
        if part and (part["is_done"] or part["position"] != last):
            raise Refused("--adopt: another `migrate --adopt` is copying, and goes on")

    async def _once(self, table: str, copy: Callable[[], Awaitable[None]]) -> None:
        """A small table, in one transaction."""
        if not await has_relation(self.connection, f"{OLD}.{table}"):
            return
        part = await self.connection.fetchrow(sql.of("part"), table)
        if part and part["is_done"]:
            return
        async with transaction(self.connection):
            await integrity.require(self.connection)
            await copy()
            await self.connection.execute(sql.of("set_part"), table, 0, True)

    async def _acks(self) -> None:
        await self.connection.execute(sql.of("copy_acks", tenant=sql.TENANT, device=sql.DEVICE, names=sql.DEVICE_NAMES))

    async def _dead_letters(self) -> None:
        statement = sql.of("copy_dead_letters", tenant=sql.TENANT, names=sql.TENANT_NAMES)
        await self.connection.execute(statement, sorted(POISON_REASONS))
