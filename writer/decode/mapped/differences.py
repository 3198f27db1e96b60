"""What a test expects and what a message became, compared: a line for each difference."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any

from traksense_ingest.shared.mapping.expected import Row, Test
from traksense_ingest.writer.decode.measures import Measure, Measures
from traksense_ingest.writer.outcome import (
    AckRow,
    AwaitsBirth,
    CommandRow,
    Decoded,
    Deferred,
    EventRow,
    Ignored,
    Outcome,
    Rejected,
    Sighting,
)

Found = dict[str, Any]

COLUMNS = ("tenant", "site", "device", "ts", "point", "v_num", "v_bool", "v_text", "unit", "meta")
VALUES = ("v_num", "v_bool", "v_text", "unit")  # null where a row leaves one out
KEPT = ("tenant", "site", "device", "ts", "meta")  # as in the row above where one leaves it out
KEY = ("point", "ts", "device", "tenant")  # what a row is recognised by, the most telling first


def differences(test: Test, outcome: Outcome) -> tuple[str, ...]:
    """Nothing where the message became what it must."""
    return tuple(_differences(test, outcome))


def _differences(test: Test, outcome: Outcome) -> Iterator[str]:
    if test.poison is not None:
        yield from _poison(test.poison, outcome)
    elif test.ignored:
        if not isinstance(outcome, Ignored):
            yield f"expected it to be ignored, found {in_words(outcome)}"
    elif isinstance(outcome, Decoded):
        yield from _decoded(test, outcome)
    elif not (isinstance(outcome, Ignored) and test.rows == ()) and _expects_something(test):
        yield f"expected {_expected_in_words(test)}, found {in_words(outcome)}"


def _expects_something(test: Test) -> bool:
    return any(part is not None for part in (test.rows, test.ack, test.cmd, test.events, test.state, test.meta))


def _expected_in_words(test: Test) -> str:
    parts = {
        "rows": test.rows,
        "an ACK": test.ack,
        "a command": test.cmd,
        "events": test.events,
        "a state": test.state,
        "meta": test.meta,
    }
    return " and ".join(name for name, part in parts.items() if part is not None)


def _poison(text: str, outcome: Outcome) -> Iterator[str]:
    if not isinstance(outcome, Rejected | AwaitsBirth):
        yield f"expected poison with the text {text!r}, found {in_words(outcome)}"
    elif text not in outcome.reason:
        yield f"poison: expected the text {text!r}, found {outcome.reason!r}"


def in_words(outcome: Outcome) -> str:
    """An outcome in one line."""
    match outcome:
        case Rejected() | AwaitsBirth():
            return f"poison: {outcome.reason}"
        case Ignored():
            return f"ignored ({outcome.reason})"
        case Deferred():
            return f"a bug: {outcome.error!r}"
        case Decoded():
            return f"{len(rows_of(outcome))} rows" if outcome.kind == "telem" else f"{len(outcome.rows)} {outcome.kind}"


def _decoded(test: Test, outcome: Decoded) -> Iterator[str]:
    if test.rows is not None:
        yield from _rows(_complete(test.rows), rows_of(outcome), COLUMNS, "point")
    if test.ack is not None:
        yield from _rows(
            [test.ack], [_ack(row, outcome) for row in outcome.rows if isinstance(row, AckRow)], (), "cmd_id"
        )
    if test.cmd is not None:
        yield from _rows(
            [test.cmd], [_command(row) for row in outcome.rows if isinstance(row, CommandRow)], (), "cmd_id"
        )
    events = [row for row in outcome.rows if isinstance(row, EventRow)]
    if test.events is not None:
        found = [_event(row, outcome) for row in events if outcome.kind == "event"]
        yield from _rows(_kept(test.events), found, (), "event_type")
    if test.state is not None:
        found = [_state(row, outcome) for row in events if outcome.kind == "state"]
        yield from _rows([test.state], found, (), "device")
    if test.meta is not None:
        yield from _meta(test.meta, outcome.devices)


def rows_of(outcome: Decoded) -> list[Found]:
    """The rows of ts_measure, as a test has them."""
    measures = [measure for rows in outcome.rows if isinstance(rows, Measures) for measure in rows]
    return [_row(measure, outcome) for measure in measures]


def _row(measure: Measure, outcome: Decoded) -> Found:
    return {
        **_identity(measure.tenant_id, measure.device_id, outcome),
        "ts": measure.ts,
        "point": measure.point_id,
        "v_num": measure.v_num,
        "v_bool": measure.v_bool,
        "v_text": measure.v_text,
        "unit": measure.unit,
        "meta": json.loads(measure.meta) if measure.meta else None,
    }


def _ack(row: AckRow, outcome: Decoded) -> Found:
    values = {"cmd_id": row.cmd_id, "ok": row.ok, "ts_exec": row.ts_exec, "err": row.err}
    return _identity(row.tenant_id, row.device_id, outcome) | values


def _command(row: CommandRow) -> Found:
    values = {"cmd_id": row.cmd_id, "cmd": row.cmd, "sent_at": row.sent_at}
    return {"tenant": row.tenant_id, "device": row.device_id} | values


def _event(row: EventRow, outcome: Decoded) -> Found:
    data = json.loads(row.data) if row.data else None
    values = {"event_id": row.event_id, "event_type": row.event_type, "ts": row.ts, "data": data}
    return _identity(row.tenant_id, row.device_id, outcome) | values


def _state(row: EventRow, outcome: Decoded) -> Found:
    data = json.loads(row.data or "{}")
    values = {"online": data.get("online"), "reason": data.get("reason"), "ts": row.ts}
    return _identity(row.tenant_id, row.device_id, outcome) | values


def _identity(tenant: str, device: str, outcome: Decoded) -> Found:
    """With the site, if the message has one for the device: it is not a column of the rows."""
    sites = [seen.site_id for seen in outcome.devices if (seen.tenant_id, seen.device_id) == (tenant, device)]
    return {"tenant": tenant, "device": device} | ({"site": sites[0]} if sites else {})


def _complete(rows: Sequence[Row]) -> list[Row]:
    return [{**dict.fromkeys(VALUES), **row} for row in _kept(rows)]


def _kept(rows: Sequence[Row]) -> list[Row]:
    """What a row leaves out of these is as in the one above."""
    kept: Found = {}
    complete: list[Row] = []
    for row in rows:
        kept |= {name: value for name, value in row.items() if name in KEPT}
        complete.append({**kept, **row})
    return complete


def _rows(expected: Sequence[Row], found: Sequence[Found], columns: Sequence[str], name: str) -> Iterator[str]:
    """The same rows, in whatever order. One that is not among them is compared with the nearest one that is left."""
    left = list(found)
    missing = []
    for row in expected:
        same = next((candidate for candidate in left if _is_same(row, candidate)), None)
        if same is None:
            missing.append(row)
        else:
            left.remove(same)
    for row in missing:
        nearest = _nearest(row, left, name)
        if nearest is None:
            yield f"missing: {_shown(row, columns)}{_hint(row, found, name)}"
        else:
            left.remove(nearest)
            yield f"{name} {row.get(name)}: {'; '.join(_changes(row, nearest))}"
    for row in left:
        yield f"not expected: {_shown(row, columns)}"


def _is_same(row: Row, candidate: Found) -> bool:
    return not any(_changes(row, candidate))


def _changes(row: Row, candidate: Found) -> Iterator[str]:
    for column, value in row.items():
        found = candidate.get(column)
        if column not in candidate and column == "site":
            continue
        if found != value or isinstance(found, bool) is not isinstance(value, bool):
            yield f"{column} expected {shown(value)}, found {shown(found)}"


def _nearest(row: Row, left: Sequence[Found], name: str) -> Found | None:
    """One of the same name that agrees in most of what it is recognised by; None where there is none of that name."""
    candidates = [candidate for candidate in left if candidate.get(name) == row.get(name)]
    if not candidates and len(left) == 1 and name != "point":
        candidates = list(left)
    return max(candidates, key=lambda one: sum(one.get(key) == row.get(key) for key in KEY), default=None)


def _hint(row: Row, found: Sequence[Found], name: str) -> str:
    names = [str(candidate.get(name)) for candidate in found]
    near = get_close_matches(str(row.get(name)), names, n=1)
    return f" (the nearest found is {near[0]})" if near else ""


def _meta(expected: Row, devices: Sequence[Sighting]) -> Iterator[str]:
    found = [json.loads(device.meta) if device.meta else None for device in devices]
    if expected not in found:
        yield f"meta: expected {shown(expected)}, found {', '.join(map(shown, found)) or 'no device'}"


def _shown(row: Mapping[str, Any], columns: Sequence[str]) -> str:
    names = [name for name in (columns or row) if row.get(name) is not None]
    return "{" + ", ".join(f"{name}: {shown(row[name])}" for name in names) + "}"


def shown(value: Any) -> str:
    """A value as a mapping file has it."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return json.dumps(value, ensure_ascii=False)
