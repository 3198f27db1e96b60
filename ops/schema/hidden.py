"""Rows that no query shows, in the hypertable's root table: finds them, and stores them again as a writer does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import asyncpg

from traksense_ingest.ops.schema import Refused, sql
from traksense_ingest.ops.schema.migrate import lock, migration_lock
from traksense_ingest.shared import integrity
from traksense_ingest.shared.database import connected

UNFINISHED = "the rows of the first version are not all copied yet: run `traksense-ingest migrate --adopt` again"

BLOCKS = 128  # a transaction: 1 MiB, some ten thousand rows


@dataclass
class Recovery:
    """Stores them again, in portions. It may be interrupted and run again: each portion is committed."""

    url: str
    new: int = 0  # rows that queries show now
    known: int = 0  # duplicates of stored rows, which are deleted

    async def run(self) -> list[str]:
        """All of them; returns what was done, in lines.

        Raises what asyncpg raises, Unusable, and Refused if this role has no permission.
        """
        async with connected(self.url, command_timeout=None) as connection:
            try:
                await self._recover(connection)
            except asyncpg.InsufficientPrivilegeError as error:
                raise Refused(_missing_privilege(error)) from None
        if not (self.new or self.known):
            return []
        return [f"ts_measure: {self.new} rows that no query showed are back, {self.known} more were stored already"]

    async def _recover(self, connection: Any) -> None:
        first, step = 0, BLOCKS
        while first < await connection.fetchval(sql.ROOT_BLOCKS):
            try:
                await self._recover_portion(connection, first, first + step)
                first += step
            except asyncpg.OutOfMemoryError:  # too many chunks for max_locks_per_transaction
                if step == 1:
                    raise
                step //= 2

    async def _recover_portion(self, connection: Any, first: int, last: int) -> None:
        async with lock(connection):
            await integrity.require(connection)
            await connection.execute(sql.CREATE_RECOVERED)
            await connection.execute(sql.SHOW_HIDDEN)
            taken = _affected(await connection.execute(sql.TAKE_HIDDEN.format(first=first, last=last)))
            await connection.execute(sql.HIDE_HIDDEN)
            new = _affected(await connection.execute(sql.STORE_RECOVERED)) if taken else 0
        self.new += new
        self.known += taken - new


async def warnings(url: str) -> list[str]:
    """Whether there are such rows, or rows of the first version that are not copied, and what to do.

    Raises what asyncpg raises.
    """
    async with migration_lock(url) as connection:
        found = await integrity.problem(connection)
        is_adopting = await connection.fetchval(sql.HAS_ADOPTION) and await connection.fetchval(sql.IS_ADOPTING)
    return [line for line in (found, UNFINISHED if is_adopting else None) if line]


def _affected(status: str) -> int:
    return int(status.rpartition(" ")[2])


def _missing_privilege(error: Exception) -> str:
    return (
        f"--recover-rows: {error}; connect as a superuser, or let one run "
        "GRANT SET ON PARAMETER timescaledb.restoring (PostgreSQL 15 or newer)"
    )
