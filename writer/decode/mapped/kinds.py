"""What one record of a message becomes, for each kind: readings, an ACK, an event, a state."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from traksense_ingest.shared.mapping.model import Ack, Event, Fields, Flag, State
from traksense_ingest.shared.mapping.text import Path, Template
from traksense_ingest.writer.decode.decode import event_identity
from traksense_ingest.writer.decode.mapped.conditions import ScalarTable
from traksense_ingest.writer.decode.mapped.fields import as_json, compile_object, compile_source
from traksense_ingest.writer.decode.mapped.paths import compile_path
from traksense_ingest.writer.decode.mapped.scope import MISSING, Get, Scope, Wrong
from traksense_ingest.writer.decode.mapped.templates import NoText, Text, compile_template, text_of
from traksense_ingest.writer.decode.mapped.wording import in_words, listed, shown
from traksense_ingest.writer.outcome import AckRow, EventRow, Poison, Rows

TEXT_MAX = 256  # characters of a cmd_id, an event_id and an event_type, as v1's

Who = tuple[str, str, str]  # tenant, site, device
Made = Callable[[Any, Scope, Who, datetime | None, str | None], tuple[Rows, ...]]  # raises Poison, Wrong
IsTrue = Callable[[Any, Scope], bool]


def compile_ack(ack: Ack, label: str) -> Made:
    """A device's answer, with the record as its payload."""
    cmd_id, ok = compile_text(ack.cmd_id, "ack.cmd_id"), compile_flag(ack.ok)
    err = compile_path(ack.err) if ack.err else None

    def rows(record: Any, scope: Scope, who: Who, ts: datetime | None, _meta: str | None) -> tuple[Rows, ...]:
        payload = as_json(record, f"{label}: payload")
        scope.take_size(len(payload), f"{label}: payload")
        error = _error_text(err(record, scope), f"{label}: ack.err") if err else None
        answer = ok(record, scope)
        tenant, _, device = who
        id_ = cmd_id(record, scope)
        return (AckRow(tenant, device, id_, answer, ts, error, payload, scope.entry.appended_at),)

    return rows


def compile_event(event: Event, label: str) -> Made:
    """Something that happened."""
    type_of = compile_text(event.type, "event.type")
    id_of = compile_template(event.id) if event.id else None
    data_of = _data(event.data)
    where = f"{label}: event.data"

    def rows(record: Any, scope: Scope, who: Who, ts: datetime | None, _meta: str | None) -> tuple[Rows, ...]:
        if ts is None:
            raise Wrong("there is none", below="time")
        type_ = type_of(record, scope)
        data = data_of(record, scope) if data_of else None
        text = _json_or_none(data, where, scope)
        id_ = id_of(record, scope) if id_of else None
        if not isinstance(id_, str):
            id_ = _identity(type_, ts, data, where)
        tenant, _, device = who
        id_ = checked_text(id_, "event.id")
        return (EventRow(tenant, device, id_, type_, ts, text, scope.entry.appended_at),)

    return rows


def compile_state(state: State, label: str) -> Made:
    """Whether the device is connected, as an event of the type `state`."""
    online = compile_flag(state.online)
    reason = compile_source(state.reason) if state.reason else None
    where = f"{label}: state"

    def rows(record: Any, scope: Scope, who: Who, ts: datetime | None, _meta: str | None) -> tuple[Rows, ...]:
        if ts is None:
            raise Wrong("there is none", below="time")
        scope.is_online = online(record, scope)
        data: dict[str, Any] = {"online": scope.is_online}
        found = reason(record, scope) if reason else MISSING
        if found is not MISSING and found is not None:
            data["reason"] = found
        text = _json_or_none(data, where, scope)
        tenant, _, device = who
        id_ = _identity("state", ts, data, where)
        is_replay = scope.entry.retained and scope.device_ts is None
        return (EventRow(tenant, device, id_, "state", ts, text, scope.entry.appended_at, is_replay),)

    return rows


def compile_flag(flag: Flag) -> IsTrue:
    """True or false; without a table 1 and 0 are taken for them, as in v1. Raises Wrong."""
    if flag.path is None:
        literal = flag.literal
        return lambda _record, _scope: literal
    get, where = compile_path(flag.path), in_words(flag.path)
    table: ScalarTable[bool | None] = ScalarTable(flag.map or ((True, True), (False, False), (1, True), (0, False)))
    allowed = listed([shown(key) for key, _ in flag.map]) if flag.map else "true, false, 1, 0"

    def is_true(record: Any, scope: Scope) -> bool:
        value = get(record, scope)
        if value is MISSING:
            raise Wrong("is missing, and is required", below=where)
        found = table.get(value, None)
        if found is None:
            raise Wrong(f"{shown(value)} is not one of {allowed}", below=where)
        return found

    return is_true


def compile_text(template: Template, where: str) -> Callable[[Any, Scope], str]:
    """A text of 1 to 256 characters; raises Wrong."""
    find: Text = compile_template(template)

    def text(record: Any, scope: Scope) -> str:
        found = find(record, scope)
        if isinstance(found, NoText):
            raise Wrong(found.why, below=where)
        return checked_text(found, where)

    return text


def checked_text(text: str, where: str) -> str:
    """Raises Wrong where v1 would refuse it too."""
    if not 1 <= len(text) <= TEXT_MAX:
        raise Wrong(f"should have 1 to {TEXT_MAX} characters, has {len(text)}", below=where)
    if "\0" in text:
        raise Wrong("should not contain the NUL character", below=where)
    return text


def _data(data: Path | Fields | None) -> Get | None:
    if data is None:
        return None
    return compile_path(data) if isinstance(data, Path) else compile_object(data)


def _json_or_none(data: Any, where: str, scope: Scope) -> str | None:
    if data is MISSING or data is None:
        return None
    text = as_json(data, where)
    scope.take_size(len(text), where)
    return text


def _identity(type_: str, ts: datetime, data: Any, where: str) -> str:
    """The content's. An object that is nested too deeply to be sorted has none."""
    try:
        return event_identity(type_, ts, None if data is MISSING else data)
    except RecursionError:
        raise Poison("parse_error", where, "is nested too deeply") from None


def _error_text(value: Any, where: str) -> str | None:
    if value is MISSING or value is None:
        return None
    text = text_of(value, NoText(""))
    found = text if isinstance(text, str) else as_json(value, where)
    if "\0" in found:
        raise Poison("parse_error", where, "should not contain the NUL character")
    return found
