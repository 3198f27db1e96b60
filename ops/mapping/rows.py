"""The rows that a message becomes, for JSON and for a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, assert_never

from traksense_ingest.ops.mapping.columns import columns, wrapped
from traksense_ingest.ops.mapping.messages import rfc3339
from traksense_ingest.ops.terminal import printable
from traksense_ingest.writer.decode.measures import Measure, Measures
from traksense_ingest.writer.outcome import AckRow, CommandRow, Decoded, EventRow

Row = dict[str, Any]

VALUES = ("v_num", "v_bool", "v_text")
_KEYS = {  # the columns that tell a row of a table from others
    "ts_measure": ("tenant", "device", "point", "ts"),
    "cmd_ack": ("tenant", "device", "cmd_id"),
    "command": ("tenant", "device", "cmd_id"),
    "device_event": ("tenant", "device", "event_id"),
}


def rows_of(decoded: Decoded) -> list[Row]:
    """Each row with its table and, as `site`, the one that the table `device` gets."""
    sites = {(seen.tenant_id, seen.device_id): seen.site_id for seen in decoded.devices}
    found: list[Row] = []
    for rows in decoded.rows:
        site = sites.get((rows.tenant_id, rows.device_id))
        match rows:
            case Measures():
                found += (_measure(row, site) for row in rows)
            case AckRow():
                found.append(_ack(rows, site))
            case CommandRow():
                found.append(_command(rows))
            case EventRow():
                found.append(_event(rows, site))
            case _:
                assert_never(rows)
    return found


def key_of(row: Row) -> tuple[Any, ...]:
    """What no two rows of its table have in common."""
    return (row["table"], *(row[name] for name in _KEYS[row["table"]]))


def _measure(row: Measure, site: str | None) -> Row:
    return {
        "table": "ts_measure",
        "tenant": row.tenant_id,
        "site": site,
        "device": row.device_id,
        "point": row.point_id,
        "ts": rfc3339(row.ts),
        "v_num": row.v_num,
        "v_bool": row.v_bool,
        "v_text": row.v_text,
        "unit": row.unit,
        "meta": _parsed(row.meta),
    }


def _ack(row: AckRow, site: str | None) -> Row:
    return {
        "table": "cmd_ack",
        "tenant": row.tenant_id,
        "site": site,
        "device": row.device_id,
        "cmd_id": row.cmd_id,
        "ok": row.ok,
        "ts_exec": rfc3339(row.ts_exec) if row.ts_exec else None,
        "err": row.err,
    }


def _command(row: CommandRow) -> Row:
    return {
        "table": "command",
        "tenant": row.tenant_id,
        "site": None,
        "device": row.device_id,
        "cmd_id": row.cmd_id,
        "cmd": row.cmd,
        "sent_at": rfc3339(row.sent_at),
        "payload": _parsed(row.payload),
    }


def _event(row: EventRow, site: str | None) -> Row:
    return {
        "table": "device_event",
        "tenant": row.tenant_id,
        "site": site,
        "device": row.device_id,
        "event_id": row.event_id,
        "event_type": row.event_type,
        "ts": rfc3339(row.ts),
        "data": _parsed(row.data),
    }


def _parsed(text: str | None) -> Any:
    return None if text is None else json.loads(text)


def value_text(row: Mapping[str, Any]) -> str:
    """A reading: a text in quotes, `–` for none."""
    value = next((row[name] for name in VALUES if row.get(name) is not None), None)
    return "–" if value is None else compact(value)


def compact(value: Any) -> str:
    """As JSON; a whole number without a decimal point."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return printable(json.dumps(value, ensure_ascii=False, separators=(", ", ": ")))


def screen(rows: Sequence[Row], width: int | None, indent: str = "  ") -> Iterator[str]:
    """Lines: each device once, and below it what is stored of it."""
    for (table, tenant, site, device), group in groupby(
        rows, key=lambda row: (row["table"], row["tenant"], row["site"], row["device"])
    ):
        found = list(group)
        heading = printable(f"{tenant}/{site or '–'}/{device}")
        if table == "ts_measure":
            yield from _measures(found, heading, width, indent)
        else:
            yield from wrapped(heading, width, indent)
            yield from columns([*map(_cells, found)], width, indent=indent)


def _measures(rows: Sequence[Row], heading: str, width: int | None, indent: str) -> Iterator[str]:
    times, metas = {row["ts"] for row in rows}, [row["meta"] for row in rows]
    has_times, has_metas = len(times) > 1, any(meta != metas[0] for meta in metas)
    yield from wrapped(heading if has_times else f"{heading}  {rows[0]['ts']}", width, indent)
    if metas[0] and not has_metas:
        yield from wrapped(f"meta {compact(metas[0])}", width, indent)
    header = ["point", "value", "unit", *(["ts"] if has_times else []), *(["meta"] if has_metas else [])]
    lines = []
    for row in rows:
        cells = [printable(row["point"]), value_text(row), printable(row["unit"] or "")]
        cells += [row["ts"]] if has_times else []
        cells += [compact(row["meta"]) if row["meta"] else ""] if has_metas else []
        lines.append(cells)
    yield from columns(lines, width, indent=indent, header=header)


def _cells(row: Row) -> list[str]:
    if row["table"] == "cmd_ack":
        how = "ok" if row["ok"] else f"failed: {row['err'] or '–'}"
        return ["ack", printable(row["cmd_id"]), row["ts_exec"] or "–", printable(how)]
    if row["table"] == "command":
        return ["command", printable(row["cmd_id"]), row["sent_at"], printable(row["cmd"] or "–")]
    return [
        f"event {printable(row['event_type'])}",
        printable(row["event_id"]),
        row["ts"],
        "" if row["data"] is None else compact(row["data"]),
    ]
