"""`--compat-views`: the names and columns that programs of the first version ask for, over the tables of this one.

What this version calls by the same name (ts_measure, cmd_ack, ingest_errors) has its view in the schema `compat`, which
the search_path of app_user and app_readonly then has first; all others are in `public`, where they were. All show the
rows of the tenant that app.tenant_id names, by its id of the first version or by its name, and ids as they were.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import asyncpg

from traksense_ingest.ops.adopt import sql
from traksense_ingest.ops.adopt.database import has_relation
from traksense_ingest.ops.schema import Refused

ROLES = ("app_user", "app_readonly")
SEARCH_PATH = "compat, public"
IN_COMPAT = ("ts_measure", "cmd_ack", "ingest_errors")

_UUID = "'^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$'"
_QUAL = (
    "CASE WHEN jsonb_typeof(one.meta -> 'qual') = 'number' AND (one.meta ->> 'qual')::numeric BETWEEN -32768 AND 32767 "
    "THEN (one.meta ->> 'qual')::numeric::smallint ELSE 0 END"
)


class Column(NamedTuple):
    """Of a relation of the first version."""

    name: str
    type: str


class Source(NamedTuple):
    """Where a view takes its rows from, and the old columns that are not called the same there."""

    relation: str
    columns: Mapping[str, str]
    has_devices: bool = True


_MEASURES = Source(
    "public.ts_measure",
    {"qual": _QUAL, "v_num": "coalesce(one.v_num, one.v_bool::integer)"}
    | {name: f"one.{name}" for name in ("ts", "v_bool", "v_text", "unit", "meta")},
)
_ACKS = Source(
    "public.cmd_ack",
    {name: f"one.{name}" for name in ("cmd_id", "ok", "ts_exec", "payload", "created_at", "updated_at")},
)
_LETTERS = Source(
    "public.ingest_errors",
    {name: f"one.{name}" for name in ("id", "topic", "payload", "reason", "ts")},
    has_devices=False,
)
_BUCKET = {"tb": "one.bucket", "bucket": "one.bucket", "v_avg": "one.sum / one.count", "v_min": "one.min"} | {
    "v_max": "one.max",
    "v_count": "one.count",
    "n": "one.count",
}


async def create(connection: Any) -> list[str]:
    """Create or replace them; in the caller's transaction. Returns what was done, a line each; raises Refused."""
    if not await has_relation(connection, "adoption.relation"):
        raise Refused("--compat-views: no database of the first version was adopted here")
    old = {row["name"]: _columns(row["columns"]) for row in await connection.fetch(sql.of("old_relations"))}
    id_types = {column.name: column.type for column in old.get("ts_measure", ())}
    types = {f"{name}_type": _id_type(id_types.get(f"{name}_id")) for name in ("tenant", "device")}
    await connection.execute(sql.of("create_compat", **types))
    lines, made = [], list[str]()
    for name, columns in old.items():
        source = await _source(connection, name)
        if source is None:
            lines.append(f"{name}: no view, since there is no such aggregate; set INGEST_AGGREGATES")
            continue
        unknown = [column.name for column in columns if _expression(column, source) is None]
        await connection.execute(_view(name, columns, source, id_types.get("tenant_id")))
        made.append(_qualified(name))
        lines += [f"{_qualified(name)}: nothing is known of the column {each}: it is NULL" for each in unknown]
    await connection.execute(sql.of("create_compat_triggers"))
    return [f"views: {', '.join(made)}", *lines, *await _let_in(connection, made)]


async def drop(connection: Any) -> None:
    """All of them; in the caller's transaction."""
    if not await has_relation(connection, "compat.device"):
        return
    for row in await connection.fetch(sql.of("old_relations")):
        await connection.execute(f"DROP VIEW IF EXISTS {_qualified(row['name'])}")
    await connection.execute(sql.of("drop_compat"))
    for role in await _roles(connection):
        if await connection.fetchval(sql.of("search_path"), role) == f"search_path={SEARCH_PATH}":
            await connection.execute(f"ALTER ROLE {role} IN DATABASE {await _database(connection)} RESET search_path")


def _columns(text: str) -> list[Column]:
    return [Column(*column) for column in json.loads(text)]


def _id_type(old: str | None) -> str:
    return "uuid" if old == "uuid" else "text"


def _qualified(name: str) -> str:
    return f"{'compat' if name in IN_COMPAT else 'public'}.{name}"


async def _source(connection: Any, name: str) -> Source | None:
    """Of a view; None where nothing has its rows."""
    match name:
        case "ts_measure" | "ts_measure_tenant":
            return _MEASURES
        case "cmd_ack":
            return _ACKS
        case "ingest_errors":
            return _LETTERS
    width = name.removeprefix("ts_measure_").removesuffix("_tenant")
    for relation in (f"aggregates.complete_{width}", f"aggregates.ts_measure_{width}"):
        if await has_relation(connection, relation):
            return Source(relation, _BUCKET)
    return None


def _view(name: str, columns: Sequence[Column], source: Source, id_type: str | None) -> str:
    shown = ", ".join(
        f"{_expression(column, source) or f'NULL::{column.type}'} AS {_quoted(column.name)}" for column in columns
    )
    has_points = any(column.name == "point_id" for column in columns)
    said = "current_setting('app.tenant_id', true)"
    said = f"lower(btrim({said}, '{{}}'))" if id_type == "uuid" else said  # a UUID is written in several ways
    parts = {"name": _qualified(name), "columns": shown, "relation": source.relation, "said": said}
    if source.has_devices:
        parts["point"] = "one.point_id" if has_points else "NULL"
    return sql.of("create_compat_view" if source.has_devices else "create_compat_view_of_tenant", **parts)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _expression(column: Column, source: Source) -> str | None:
    match column.name:
        case "tenant_id":
            return "device.old_tenant_id" if source.has_devices else _as(column.type, "tenant.old_id")
        case "device_id":
            return "device.old_device_id"
        case "point_id":
            return _as(column.type, "coalesce(point.old, one.point_id)")
    return source.columns.get(column.name)


def _as(type_: str, text: str) -> str:
    """An id as it was: NULL where it is a name, and ids were UUIDs."""
    return f"CASE WHEN {text} ~ {_UUID} THEN ({text})::uuid END" if type_ == "uuid" else text


async def _let_in(connection: Any, made: Sequence[str]) -> list[str]:
    lines = []
    for role in await _roles(connection):
        await connection.execute(f"GRANT USAGE ON SCHEMA compat TO {role}")
        await connection.execute(f"GRANT SELECT ON {', '.join(made)} TO {role}")
        if await connection.fetchval(sql.of("inserted"), role):
            await connection.execute(f"GRANT INSERT ON compat.ts_measure TO {role}")
        before = await connection.fetchval(sql.of("search_path"), role)
        if before not in (None, f"search_path={SEARCH_PATH}"):
            lines.append(f"{role} has a {before} of its own: let it begin with compat")
        else:
            lines.append(await _set_search_path(connection, role))
    return lines


async def _set_search_path(connection: Any, role: str) -> str:
    """Returns what was done, or what an administrator has to do."""
    statement = f"ALTER ROLE {role} IN DATABASE {await _database(connection)} SET search_path = {SEARCH_PATH}"
    try:
        async with connection.transaction():
            await connection.execute(statement)
    except asyncpg.InsufficientPrivilegeError:
        return f"{role}: let an administrator run: {statement}"
    return f"{role}: reads the views, with the search_path {SEARCH_PATH}, from its next session on"


async def _roles(connection: Any) -> list[str]:
    return [row["rolname"] for row in await connection.fetch(sql.of("roles"), list(ROLES))]


async def _database(connection: Any) -> str:
    return str(await connection.fetchval("SELECT quote_ident(current_database())"))
