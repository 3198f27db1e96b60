"""What `migrate --adopt`, `--undo-adopt` and `--drop-v1` do; plain `migrate` changes nothing of the first version's."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import click
from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

from traksense_ingest.ops.adopt import compat, history, report, sql
from traksense_ingest.ops.adopt.aside import drop_old, move_aside, require_room, undo
from traksense_ingest.ops.adopt.copying import Copier
from traksense_ingest.ops.adopt.database import (
    ALL_ROWS,
    COPIED,
    COPYING,
    DROPPED,
    OLD,
    State,
    is_first_version,
    require_readable,
    size,
    state,
    transaction,
)
from traksense_ingest.ops.adopt.names import NameMaps, add_names_of_tables, from_files, require_free, save, saved
from traksense_ingest.ops.progress import Reporter
from traksense_ingest.ops.schema import Refused
from traksense_ingest.ops.schema.migrate import migration_lock
from traksense_ingest.shared.database import connected, in_transaction
from traksense_ingest.shared.errors import IngestError
from traksense_ingest.shared.failure import describe

BLOCKS_PER_MIB = 128

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Adoption:
    """What the options of `migrate` ask for."""

    tenant_map: Path | None = None
    device_map: Path | None = None
    point_map: Path | None = None
    keep_ids: bool = False

    def maps(self) -> NameMaps:
        """What the files say; raises ConfigurationError."""
        return from_files(self.tenant_map, self.device_map, self.point_map)


async def final(work: Awaitable[T]) -> T:
    """A step of an adoption: what the database refuses in it, it will refuse again. Raises IngestError for that, and
    what else the step raises."""
    try:
        return await work
    except (asyncpg.SyntaxOrAccessError, asyncpg.DataError, asyncpg.DependentObjectsStillExistError) as error:
        detail = f" ({error.detail})" if error.detail else ""
        raise IngestError(f"the first version's database: {describe(error)}{detail}") from None


async def plan(url: str, adoption: Adoption) -> None:
    """`--dry-run`: print what would be done. Changes nothing; raises Refused where there is nothing to adopt."""
    maps = adoption.maps()
    console = Console(highlight=False)
    async with connected(url, command_timeout=None) as connection, in_transaction(connection):
        await connection.execute(ALL_ROWS)
        found = await state(connection)
        if await is_first_version(connection):
            schema = "public"
        elif found and found.status == COPYING:
            schema = OLD
        else:
            raise Refused(_nothing_to_adopt(found))
        await require_readable(connection, schema)
        if schema == "public":
            await require_room(connection)
        if found is not None:
            known = await saved(connection)
            maps.require_known(known)
            maps = known
        else:
            await _find_names(connection, adoption, maps)
            await require_free(connection, schema, maps)
        await report.show_plan(connection, console, schema, maps)
    console.print("nothing was changed")


async def begin(url: str, adoption: Adoption) -> list[str]:
    """Move the tables of the first version aside, if that is not done yet; the names are kept with it.

    Raises Refused where there is nothing to adopt.
    """
    maps = adoption.maps()
    async with migration_lock(url) as connection:
        await connection.execute(ALL_ROWS)
        is_first = await is_first_version(connection)
        found = await state(connection)
        if not is_first and (found is None or found.status != COPYING):
            raise Refused(_nothing_to_adopt(found))
        await require_readable(connection, "public" if is_first else OLD)
        if found is not None:  # rows were copied with these names
            known = await saved(connection)
            maps.require_known(known)
            maps = known
        if not is_first:
            return []
        if found is None:
            await _find_names(connection, adoption, maps)
            await require_free(connection, "public", maps)
        lines = await move_aside(connection)
        await save(connection, maps)
    return lines


async def copy(url: str) -> list[str]:
    """Copy what is left. May be killed and run again; raises what asyncpg raises."""
    console = Console(stderr=True, highlight=False)
    async with connected(url, command_timeout=None) as connection:
        async with transaction(connection):
            await history.create(connection)
            found = await state(connection)
        if found is None or found.status != COPYING:
            return []
        copier = Copier(connection, progress := _Blocks())
        reporter = Reporter(console, await copier.blocks() // BLOCKS_PER_MIB, _columns(), unit=" MiB")
        async with reporter.watching(lambda: progress.done // BLOCKS_PER_MIB):
            await copier.run()
            await history.copy(connection)
        async with transaction(connection):
            await connection.execute(sql.of("set_copied"))
            await report.show_result(connection, Console(highlight=False))
    return ["all rows of the first version are copied; `migrate --drop-v1` drops its tables, once you are sure"]


async def make_views(url: str) -> list[str]:
    """`--compat-views`, in one transaction."""
    async with migration_lock(url) as connection:
        return await compat.create(connection)


async def go_back(url: str) -> list[str]:
    """`--undo-adopt`, in one transaction; raises Refused."""
    async with migration_lock(url) as connection:
        return await undo(connection)


async def drop(url: str, *, yes: bool) -> list[str]:
    """`--drop-v1`, in one transaction, after a question; raises Refused."""
    async with connected(url) as connection:
        found = await state(connection)
        if not yes and found and found.status == COPIED:
            space = await size(connection, OLD)
            question = f"Drop the tables of the first version ({space})? There is no way back after it."
            click.confirm(question, abort=True, err=True)
    async with migration_lock(url) as connection:
        return await drop_old(connection)


async def _find_names(connection: Any, adoption: Adoption, maps: NameMaps) -> None:
    if not adoption.keep_ids:
        await add_names_of_tables(connection, maps)


def _nothing_to_adopt(found: State | None) -> str:
    if found and found.status == COPIED:
        return "--adopt: it is done already: all rows of the first version are copied"
    if found and found.status == DROPPED:
        return "--adopt: it is done already, and the tables of the first version are dropped"
    return "--adopt: this is no database of the first version: public.ts_measure with a column qual is not there"


def _columns() -> tuple[ProgressColumn, ...]:
    return TextColumn("copying"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()


class _Blocks:
    """How many blocks were copied."""

    def __init__(self) -> None:
        self.done = 0

    def advance(self, blocks: int) -> None:
        self.done += blocks
