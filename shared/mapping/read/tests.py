"""`tests`, parsed: messages and what must become of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from traksense_ingest.shared.mapping.expected import LATER, Message, Row, Test
from traksense_ingest.shared.mapping.read.cursor import Cursor, Keys
from traksense_ingest.shared.mapping.read.decode import FileReader
from traksense_ingest.shared.mapping.read.nodes import Entries, Items, Leaf, Node

_MESSAGE = ("topic", "payload", "payload_hex", "payload_file", "received", "retained")
_EXPECTED = ("rows", "ack", "cmd", "event", "events", "state", "meta", "poison", "ignored", "route")
KEYS = ("name", "messages", *_MESSAGE, *_EXPECTED)
_HEX = re.compile(r"(?:[0-9a-fA-F]{2}|\s)*")
_IDENTITY = ("tenant", "site", "device")


def test(at: Cursor, files: FileReader) -> Test:
    """One test."""
    keys = at.keys(*KEYS, what="a test")
    name = keys.required("name", "what the test shows")
    if not any(key in keys for key in _EXPECTED):
        at.fault(f"expects nothing; needed: one of {', '.join(_EXPECTED)}")
    return Test(
        name=name.text() if name else "",
        line=at.place.line,
        message=_message(keys, files),
        before=keys.read("messages", lambda inside: _before(inside, files), ()),
        rows=keys.read("rows", _rows, None),
        ack=keys.read("ack", _row_of(_ACK), None),
        cmd=keys.read("cmd", _row_of(_COMMAND), None),
        events=_events(keys),
        state=keys.read("state", _row_of(_STATE), None),
        meta=keys.read("meta", _object, None),
        poison=keys.read("poison", lambda poison: poison.text("what the reason contains"), None),
        ignored=keys.read("ignored", Cursor.flag, False),
        route=keys.read("route", lambda route: route.text("a route's name"), None),
    )


def value_of(node: Node) -> Any:
    """What a node is in JSON."""
    match node:
        case Leaf(value=value):
            return value
        case Items(items=items):
            return [value_of(item) for item in items]
        case Entries(entries=entries):
            return {key.text: value_of(item) for key, item in entries}
        case _:
            return None


def _before(at: Cursor, files: FileReader) -> tuple[Message, ...]:
    return tuple(_message(item.keys(*_MESSAGE), files) for item in at.items("a list of messages"))


def _message(keys: Keys, files: FileReader) -> Message:
    topic = keys.required("topic", "the topic that it is published on")
    match keys.only_one("payload", "payload_hex", "payload_file"):
        case "payload":
            payload = _payload(keys.found["payload"])
        case "payload_hex":
            text = keys.found["payload_hex"].matching(_HEX, "bytes in hexadecimal")
            payload = bytes.fromhex(text) if _HEX.fullmatch(text) else b""
        case "payload_file":
            payload = files.content(keys.found["payload_file"])
        case _:
            payload = b""
    received = keys.read("received", Cursor.time, LATER)
    return Message(topic.text("a topic") if topic else "", payload, received, keys.read("retained", Cursor.flag, False))


def _payload(at: Cursor) -> bytes:
    """A string is the payload itself; an object or a list is its JSON."""
    if isinstance(at.node, Leaf):
        return at.node.text.encode(errors="surrogatepass")
    return json.dumps(value_of(at.node), ensure_ascii=False).encode(errors="surrogatepass")


def _rows(at: Cursor) -> tuple[Row, ...]:
    return tuple(_row_of(_ROW)(item) for item in at.items("a list of rows, or [] for none"))


def _events(keys: Keys) -> tuple[Row, ...] | None:
    if (at := keys.get("event")) and "events" not in keys:
        return (_row_of(_EVENT)(at),)
    if at:
        keys.only_one("event", "events")
    events = keys.get("events")
    return tuple(_row_of(_EVENT)(item) for item in events.items("a list of events")) if events else None


def _row_of(readers: Mapping[str, Callable[[Cursor], Any]]) -> Callable[[Cursor], Row]:
    def read(at: Cursor) -> Row:
        keys = at.keys(*readers, what="a row")
        return {name: readers[name](keys.found[name]) for name in keys}

    return read


def _nullable(read: Callable[[Cursor], Any]) -> Callable[[Cursor], Any]:
    return lambda at: None if isinstance(at.node, Leaf) and at.node.value is None else read(at)


def _number(at: Cursor) -> float | int:
    value = at.scalar()
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    at.expected("a number")
    return 0


def _object(at: Cursor) -> Row:
    if at.is_object:
        found: Row = value_of(at.node)
        return found
    at.expected("an object")
    return {}


_TEXTS = dict.fromkeys(_IDENTITY, Cursor.text)
_ROW: Mapping[str, Callable[[Cursor], Any]] = {
    **_TEXTS,
    "point": Cursor.text,
    "ts": Cursor.time,
    "v_num": _nullable(_number),
    "v_bool": _nullable(Cursor.flag),
    "v_text": _nullable(Cursor.text),
    "unit": _nullable(Cursor.text),
    "meta": _nullable(_object),
}
_ACK: Mapping[str, Callable[[Cursor], Any]] = {
    **_TEXTS,
    "cmd_id": Cursor.text,
    "ok": Cursor.flag,
    "ts_exec": _nullable(Cursor.time),
    "err": _nullable(Cursor.text),
}
_COMMAND: Mapping[str, Callable[[Cursor], Any]] = {
    "tenant": Cursor.text,
    "device": Cursor.text,
    "cmd_id": Cursor.text,
    "cmd": _nullable(Cursor.text),
    "sent_at": Cursor.time,
}
_EVENT: Mapping[str, Callable[[Cursor], Any]] = {
    **_TEXTS,
    "event_id": Cursor.text,
    "event_type": Cursor.text,
    "ts": Cursor.time,
    "data": _nullable(lambda at: value_of(at.node)),
}
_STATE: Mapping[str, Callable[[Cursor], Any]] = {
    **_TEXTS,
    "online": Cursor.flag,
    "reason": _nullable(Cursor.text),
    "ts": Cursor.time,
}
