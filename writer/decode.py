"""An entry → its rows, or the reason why it has none. Pure: the entry and the clock in, an outcome out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from writer.adapters import ADAPTERS
from writer.entry import Entry
from writer.outcome import Ack, Decoded, Deferred, Event, Outcome, Poison, Rejected, Sighting
from writer.points import measures_of, no_nul_in
from writer.schema import (
    AckV1,
    Telemetry,
    ack_v1,
    any_object,
    as_poison,
    compact_json,
    event_v1,
    no_nul,
    telem_v1,
    validate,
)
from writer.timestamp import out_of_range
from writer.topic import Topic, kind_of, parse_topic, tenant_of

NUL_ESCAPED = r"\u0000"  # the only way that JSON has for it
META_BYTES_MAX = 64 * 1024 * 1024  # of one message's rows together

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The time of this host."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Decoder:
    """Decodes entries within the limits that the operator set."""

    max_payload_bytes: int
    max_future_s: int
    clock: Clock = utc_now

    def decode(self, entry: Entry) -> Outcome:
        """What becomes of an entry. Nothing that is in it makes this raise."""
        try:
            return self._decode(entry)
        except Poison as poison:
            return reject(entry, poison.reason, str(poison))
        except Exception as error:
            return Deferred(entry, error)

    def _decode(self, entry: Entry) -> Decoded:
        if entry.topic is None:
            raise Poison("invalid_topic", "topic", "the entry has no such field")
        topic = parse_topic(entry.topic)
        text = self._text(entry.payload)
        match topic.kind:
            case "telem":
                return self._telem(entry, topic, text)
            case "ack":
                return self._ack(entry, topic, text)
            case _:
                return self._event(entry, topic, text)

    def _text(self, payload: bytes | None) -> str:
        if payload is None:
            raise Poison("parse_error", "payload", "the entry has no such field")
        if len(payload) > self.max_payload_bytes:
            raise Poison(
                "payload_too_large",
                "payload",
                f"{len(payload)} bytes, at most {self.max_payload_bytes} are allowed",
            )
        try:
            text = payload.decode()
        except UnicodeDecodeError as error:
            raise Poison("parse_error", "payload", f"not UTF-8 at byte {error.start}") from None
        if "NaN" in text or "Infinity" in text:  # pydantic takes them for numbers, JSON doesn't
            _refuse_constants(text)
        return text

    def _telem(self, entry: Entry, topic: Topic, text: str) -> Decoded:
        telemetry = _telemetry(text)
        self._check_time(entry, telemetry["ts"], "ts")
        meta = compact_json(telemetry["meta"], "meta") if telemetry.get("meta") else None
        if meta and len(meta) * len(telemetry["points"]) > META_BYTES_MAX:
            raise Poison("payload_too_large", "meta", f"{len(meta)} characters, repeated in each point's row")
        if NUL_ESCAPED in text:
            no_nul_in(telemetry["points"])
        measures, repeated = measures_of(topic, telemetry, meta)
        return Decoded(entry, "telem", _sighting(entry, topic, meta), telemetry["ts"], measures, repeated)

    def _ack(self, entry: Entry, topic: Topic, text: str) -> Decoded:
        ack = validate(ack_v1, text)
        ts, err = ack.get("ts_exec"), ack.get("err")
        if ts is not None:
            self._check_time(entry, ts, "ts_exec")
        no_nul(ack["cmd_id"], "cmd_id")
        no_nul(err, "err")
        row = Ack(topic.tenant, topic.device, ack["cmd_id"], ack["ok"], ts, err, _whole(text), entry.appended_at)
        return Decoded(entry, "ack", _sighting(entry, topic), ts, ack=row)

    def _event(self, entry: Entry, topic: Topic, text: str) -> Decoded:
        event = validate(event_v1, text)
        ts, type_ = event["ts"], event["event_type"]
        self._check_time(entry, ts, "ts")
        no_nul(type_, "event_type")
        no_nul(event.get("event_id"), "event_id")
        data = compact_json(event["data"], "data") if event.get("data") is not None else None
        id_ = event.get("event_id") or _identity(type_, ts, event.get("data"))
        row = Event(topic.tenant, topic.device, id_, type_, ts, data, entry.appended_at)
        return Decoded(entry, "event", _sighting(entry, topic), ts, event=row)

    def _check_time(self, entry: Entry, ts: datetime, where: str) -> None:
        now = self.clock()
        if out_of_range(ts, now, self.max_future_s):
            now = max(now, entry.appended_at)  # ids never step back, as the clock of this host may
            if wrong := out_of_range(ts, now, self.max_future_s):
                raise Poison("out_of_range", where, wrong)


def reject(entry: Entry, error_class: str, reason: str, sqlstate: str | None = None) -> Rejected:
    """The dead letter of an entry."""
    return Rejected(entry, kind_of(entry.topic), tenant_of(entry.topic), error_class, reason, sqlstate)


def _telemetry(text: str) -> Telemetry:
    if '"schema"' in text:  # a guess that is right for every v1 message and spares a second parse
        try:
            return telem_v1.validate_json(text)
        except ValidationError as error:
            if not any(detail["loc"] == ("schema",) and detail["type"] == "missing" for detail in error.errors()):
                raise as_poison(error) from None
    return _adapted(validate(any_object, text), text)


def _adapted(message: dict[str, Any], text: str) -> Telemetry:
    if "schema" in message:
        return validate(telem_v1, text)
    for adapter in ADAPTERS:
        if adapter.recognises(message):
            try:
                return adapter.adapt(message)
            except ValidationError as error:
                raise as_poison(error) from None
    raise Poison("parse_error", "schema", "missing, and no vendor format recognises the payload")


def _sighting(entry: Entry, topic: Topic, meta: str | None = None) -> Sighting:
    return Sighting(topic.tenant, topic.device, topic.site, meta, entry.received_at)


def _identity(event_type: str, ts: datetime, data: object) -> str:
    content = json.dumps([event_type, ts.astimezone(UTC).isoformat(), data or None], sort_keys=True)
    return f"sha256:{hashlib.sha256(content.encode()).hexdigest()}"


def _whole(text: str) -> str:
    """An ACK's payload with all its keys, but for unknown ones that jsonb can't hold: these don't count."""
    payload = validate(any_object, text)
    try:
        return compact_json(payload, "payload")
    except Poison:
        return compact_json({key: payload[key] for key in AckV1.__annotations__ if key in payload}, "payload")


def _refuse_constants(text: str) -> None:
    def refuse(constant: str) -> None:
        raise Poison("parse_error", "payload", f"Invalid JSON: {constant} is not a JSON number")

    try:
        json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError):
        """Not JSON at all: validation says so, and where."""
