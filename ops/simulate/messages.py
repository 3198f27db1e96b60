"""The payloads that devices send, as JSON objects, and the message that carries one."""

from __future__ import annotations

import json
from datetime import datetime
from random import Random
from typing import Any, NamedTuple

ROOT = "traksense"
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

Body = dict[str, Any]


class Message(NamedTuple):
    """One message of one device, and what is known of it besides its bytes."""

    topic: str
    payload: bytes
    kind: str  # telem, ack or event
    ts: datetime
    device: int  # its place in the fleet, from 0
    points: int = 0  # rows to expect in ts_measure
    cmd_id: str | None = None
    fault: str | None = None  # what is wrong with it; None for a good message
    error_class: str | None = None  # the class of reason that it is dead-lettered for


def encode(body: Body) -> bytes:
    """Compact JSON, UTF-8."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def rfc3339(ts: datetime) -> str:
    """A moment in UTC, to the µs, with Z."""
    return ts.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def ulid(ts: datetime, rng: Random) -> str:
    """48 bits of time in ms and 80 bits of chance, in Crockford's base 32: 26 characters that sort by time."""
    bits = int(ts.timestamp() * 1000) << 80 | rng.getrandbits(80)
    return "".join(_CROCKFORD[bits >> shift & 31] for shift in range(125, -1, -5))


def point(name: str, value: object, kind: str | None = None, unit: str | None = None) -> Body:
    """One reading: its type and unit are left out where the device doesn't say."""
    optional = {"t": kind, "u": unit}
    return {"name": name, "v": value} | {key: text for key, text in optional.items() if text is not None}


def telem_v1(ts: datetime, points: list[Body], meta: Body) -> Body:
    """telem v1"""
    return {"schema": "v1", "ts": rfc3339(ts), "points": points, "meta": meta}


def parsec_v1(ts: datetime, runs: bool, has_fault: bool, rssi: int, firmware: str) -> Body:
    """A Parsec's raw telemetry: three points."""
    return {"di1": int(runs), "di2": int(has_fault), "rssi": rssi, "fw": firmware, "ts": rfc3339(ts)}


def ack_v1(ts: datetime, cmd_id: str, err: str | None) -> Body:
    """ack v1: the command was carried out, or why it wasn't."""
    return {"schema": "v1", "cmd_id": cmd_id, "ok": err is None, "ts_exec": rfc3339(ts), "err": err}


def event_v1(ts: datetime, event_type: str, event_id: str | None, data: Body) -> Body:
    """event v1: without an id, its content is its identity."""
    body = {"schema": "v1", "event_type": event_type, "ts": rfc3339(ts), "data": data}
    return body | ({"event_id": event_id} if event_id else {})
