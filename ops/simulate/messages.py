"""The messages that devices send: good ones as JSON objects, and bad ones made from them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random
from typing import Any, NamedTuple

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

Body = dict[str, Any]

FAR_FUTURE = timedelta(days=1000 * 365)  # beyond every INGEST_MAX_FUTURE_S that is allowed, from 2000 on
LATIN_1_NOTE = "Kühlraum 4 °C"


class Message(NamedTuple):
    """One message of one device, and what is known about it besides its bytes."""

    topic: str
    payload: bytes
    kind: str  # telem, ack, event, cmd or state
    ts: datetime
    device: int  # its index in the fleet
    points: int = 0  # rows to expect in ts_measure
    cmd_id: str | None = None
    fault: str | None = None  # what is wrong with it; None for a good message
    error_class: str | None = None  # the class of reason that it is dead-lettered for
    retain: bool = False  # MQTT's RETAIN


def encode(body: Body) -> bytes:
    """Compact JSON, UTF-8."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def rfc3339(ts: datetime) -> str:
    """A moment in UTC, to the µs, with Z."""
    return ts.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def ulid(ts: datetime, rng: Random) -> str:
    """48 bits of time in ms and 80 random bits, in Crockford's base 32: 26 characters that sort by time."""
    bits = int(ts.timestamp() * 1000) << 80 | rng.getrandbits(80)
    return "".join(_CROCKFORD[bits >> shift & 31] for shift in range(125, -1, -5))


def point(name: str, value: object, kind: str | None = None, unit: str | None = None) -> Body:
    """One reading: its type and unit are omitted if the device doesn't send them."""
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


def cmd_v1(ts: datetime, cmd_id: str, cmd: str, params: Body) -> Body:
    """cmd v1: what a backend asks a device to do."""
    return {"schema": "v1", "cmd_id": cmd_id, "cmd": cmd, "ts": rfc3339(ts), "params": params}


def state_v1(ts: datetime | None, state: str) -> Body:
    """state v1; a last will has no time, because it is written when the device connects."""
    return {"schema": "v1", "state": state} | ({"ts": rfc3339(ts)} if ts else {})


def event_v1(ts: datetime, event_type: str, event_id: str | None, data: Body) -> Body:
    """event v1: without an id, its content is its identity."""
    body = {"schema": "v1", "event_type": event_type, "ts": rfc3339(ts), "data": data}
    return body | ({"event_id": event_id} if event_id else {})


class Fault(NamedTuple):
    """A way to be wrong, and the class of reason that the writer dead-letters it for."""

    name: str
    error_class: str
    spoil: Callable[[Body, datetime], bytes]


def pick(rng: Random) -> Fault:
    """Any of them, each as often as another."""
    return rng.choice(FAULTS)


def _not_json(body: Body, _ts: datetime) -> bytes:
    return encode(body)[:-8]  # as after a power cut


def _missing_ts(body: Body, _ts: datetime) -> bytes:
    return encode({key: value for key, value in body.items() if key != "ts"})


def _wrong_types(body: Body, _ts: datetime) -> bytes:
    wrong: Body = {"points": {"temp_air": 4.2}} if "points" in body else {"di1": "on"}
    return encode(body | wrong)


def _naive_timestamp(body: Body, ts: datetime) -> bytes:
    return encode(body | {"ts": rfc3339(ts).removesuffix("Z")})


def _far_future(body: Body, ts: datetime) -> bytes:
    return encode(body | {"ts": rfc3339(ts + FAR_FUTURE)})


def _unknown_vendor(_body: Body, ts: datetime) -> bytes:
    return encode({"vendor": "acme", "model": 7, "t1": 4.2, "ts": rfc3339(ts)})


def _nul_in_text(body: Body, _ts: datetime) -> bytes:
    if "points" not in body:
        return encode(body | {"fw": "1.2.3\0"})
    return encode(body | {"points": [*body["points"], {"name": "note", "t": "text", "v": "door\0open"}]})


def _not_utf8(body: Body, _ts: datetime) -> bytes:
    return encode(body | {"note": LATIN_1_NOTE}).decode().encode("latin-1")


def _number_as_string(body: Body, _ts: datetime) -> bytes:
    if "points" not in body:
        return encode(body | {"rssi": str(body["rssi"])})
    first, *others = body["points"]  # its type, float, is always there
    return encode(body | {"points": [first | {"v": str(first["v"])}, *others]})


FAULTS = (
    Fault("not_json", "parse_error", _not_json),
    Fault("missing_ts", "parse_error", _missing_ts),
    Fault("wrong_types", "parse_error", _wrong_types),
    Fault("naive_timestamp", "parse_error", _naive_timestamp),
    Fault("far_future", "out_of_range", _far_future),
    Fault("unknown_vendor", "parse_error", _unknown_vendor),
    Fault("nul_in_text", "parse_error", _nul_in_text),
    Fault("not_utf8", "parse_error", _not_utf8),
    Fault("number_as_string", "parse_error", _number_as_string),
)
