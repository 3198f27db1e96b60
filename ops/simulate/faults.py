"""What devices get wrong: a good message's object in, the bytes of a bad one out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random
from typing import NamedTuple

from ops.simulate.messages import Body, encode, rfc3339

FAR_FUTURE = timedelta(days=1000 * 365)  # beyond every INGEST_MAX_FUTURE_S that is allowed, from 2000 on
LATIN_1_NOTE = "Kühlraum 4 °C"


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
