"""A table of a PostgreSQL database as the source of an import; a position is a row's key, as text."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg

from traksense_ingest.ops.appending.pace import BATCH_BYTES
from traksense_ingest.ops.database import each_row, opened
from traksense_ingest.ops.imports.source import EXAMPLES, Invalid, Message, Survey, Unreadable, digest
from traksense_ingest.shared.database import in_transaction
from traksense_ingest.shared.sql import statements

TIMES_OF_RECEIPT = ("received_at", "ts", "created_at")  # the first one that the table has, if none is chosen
WITH_ZONE, WITHOUT_ZONE = "timestamp with time zone", "timestamp without time zone"
SURVEY_S = 86_400.0  # a statement that reads the whole table may take as long; Ctrl-C ends it
AT_ONCE = 20  # rows in memory, before it is known whether they fit into the batch

_statements = statements("traksense_ingest.ops.imports")


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns the operator has chosen; None: found by the table itself."""

    topic: str = "topic"
    payload: str = "payload"
    received_at: str | None = None
    key: str | None = None


class TableSource:
    """The rows of a table in the order of their keys, without those that are added after the survey."""

    def __init__(self, connection: Any, name: str, id_: str, key: Mapping[str, Any], parts: Mapping[str, str]) -> None:
        """`parts` are what replaces {…} in the statements; `key` is a row of the statement `columns`."""
        self.name = name
        self.id = id_
        self._connection = connection
        self._key = key
        self._parts = parts

    async def survey(self) -> Survey:
        """Read all of it once."""
        if not self._key["is_unique"] and (repeated := await self._fetchval("repeated")) is not None:
            raise Unreadable(f"{self.place(repeated)} is there twice: --key must be a column whose values are unique")
        counts = await self._connection.fetchrow(self._statement("survey"), timeout=SURVEY_S)
        examples = await self._examples() if counts["invalid"] else ()
        invalid = [Invalid(row["position"] or "NULL", row["reason"]) for row in examples]
        last = await self._fetchval("last")
        return Survey(counts["rows"] - counts["invalid"], counts["invalid"], invalid, last or "")

    async def take(self, after: str, up_to: str, limit: int) -> Sequence[Message | Invalid]:
        """The next rows behind a key, in a transaction of their own: an import may last for days."""
        if not up_to:
            return ()
        taken: list[Message | Invalid] = []
        size = 0
        arguments = (up_to, limit, after) if after else (up_to, limit)
        page = self._statement("page", behind="{key} > $3::text::{type}" if after else "true")
        async with (
            in_transaction(self._connection, readonly=True),
            aclosing(each_row(self._connection, page, *arguments, at_once=AT_ONCE)) as rows,
        ):
            async for row in rows:
                size += len(row["payload"] or b"")
                if taken and size > BATCH_BYTES:
                    break
                taken.append(_message(row))
        return taken

    async def in_order(self, positions: Collection[str]) -> list[str]:
        """As the database orders the keys."""
        rows = await self._connection.fetch(self._statement("in_order"), [*positions])
        return [row["position"] for row in rows]

    def place(self, position: str) -> str:
        """`public.raw_message, id 4711`."""
        return f"{self.name}, {self._key['name']} {position}"

    async def _examples(self) -> Any:
        return await self._connection.fetch(self._statement("examples"), EXAMPLES, timeout=SURVEY_S)

    async def _fetchval(self, statement: str) -> Any:
        return await self._connection.fetchval(self._statement(statement), timeout=SURVEY_S)

    def _statement(self, name: str, **more: str) -> str:
        return filled(_statements[name], {**self._parts, **more})


def _message(row: Any) -> Message | Invalid:
    if row["invalid"]:
        return Invalid(row["position"], row["invalid"])
    return Message(row["position"], row["topic"], row["payload"], row["received_ms"])


def filled(statement: str, parts: Mapping[str, str]) -> str:
    """A statement with its parts, which may have parts themselves. What a quoted name has in braces stays."""
    return re.sub(r"\{(\w+)\}", lambda found: _part(found[1], parts), statement)


def _part(name: str, parts: Mapping[str, str]) -> str:
    part = parts[name]
    return filled(part, parts) if name in ("invalid", "behind", "bytes") else part


@asynccontextmanager
async def opened_table(url: str, variable: str, name: str, columns: Columns) -> AsyncIterator[TableSource]:
    """A table or view of the database that `variable` names. Raises IngestError, with one line."""
    async with opened(url, "a role that may read the table", variable) as connection:
        yield await _source(connection, name, columns)


async def _source(connection: Any, name: str, chosen: Columns) -> TableSource:
    table = await _table(connection, name)
    found = {row["name"]: row for row in await connection.fetch(_statements["columns"], table["oid"])}
    key = _key(found, table["name"], chosen.key)
    topic = _column(found, table["name"], "--topic", chosen.topic)
    payload = _column(found, table["name"], "--payload", chosen.payload)
    if topic["type"] == "bytea":
        raise Unreadable(f"--topic: the column {chosen.topic} of {table['name']} is bytea, not text")
    parts = {
        "table": table["name"],
        "key": _qualified(key),
        "type": key["cast"],
        "collation": key["collation"],
        "topic": _qualified(topic),
        "payload": _qualified(payload),
        "bytes": "{payload}" if payload["type"] == "bytea" else "convert_to({payload}::text, 'UTF8')",
        "received": _received(found, table["name"], chosen.received_at),
        "invalid": _statements["invalid"],
    }
    where = (table["system"], table["database"], table["oid"])
    id_ = digest(*where, key["name"], topic["name"], payload["name"])
    return TableSource(connection, table["name"], id_, key, parts)


async def _table(connection: Any, name: str) -> Any:
    try:
        table = await connection.fetchrow(_statements["table"], name)
    except (asyncpg.SyntaxOrAccessError, asyncpg.DataError) as error:
        if isinstance(error, asyncpg.InsufficientPrivilegeError):
            raise
        raise Unreadable(f"--table {name}: {error}") from None
    if table is None:
        hint = "; a name with capitals is written as in SQL: '\"Name\"'" if name != name.lower() else ""
        raise Unreadable(f"--table {name}: there is no such table or view in this database{hint}")
    if table["is_hidden"]:
        raise Unreadable(f"--table {name}: under row level security this role may see only a part of it")
    return table


def _column(found: Mapping[str, Any], table: str, option: str, name: str) -> Any:
    if name not in found:
        raise Unreadable(f"{option}: {table} has no column {name}; it has {', '.join(found)}")
    return found[name]


def _key(found: Mapping[str, Any], table: str, chosen: str | None) -> Any:
    if chosen is not None:
        return _column(found, table, "--key", chosen)
    primary = [row for row in found.values() if row["is_primary"]]
    if not primary:
        raise Unreadable(f"--key: {table} has no primary key of one column; choose a column whose values are unique")
    return primary[0]


def _received(found: Mapping[str, Any], table: str, chosen: str | None) -> str:
    """The time of receipt as an expression; one without a zone is in UTC."""
    if chosen is None:
        times = (name for name in TIMES_OF_RECEIPT if name in found and _is_time(found[name]))
        if (chosen := next(times, None)) is None:
            return "NULL::timestamptz"
    column = _column(found, table, "--received-at", chosen)
    if not _is_time(column):
        raise Unreadable(f"--received-at: the column {chosen} of {table} is {column['type']}, not a timestamp")
    name = _qualified(column)
    return name if column["type"] == WITH_ZONE else f"({name} AT TIME ZONE 'UTC')"


def _qualified(column: Mapping[str, Any]) -> str:
    return f"source.{column['quoted']}"


def _is_time(column: Mapping[str, Any]) -> bool:
    return column["type"] in (WITH_ZONE, WITHOUT_ZONE)
