"""An entry → its rows, or the reason why it has none. Pure: an outcome from an entry and the clock."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from pydantic import ValidationError

from traksense_ingest.shared.messages import RETAINED
from traksense_ingest.writer.decode.payload import looks_like, packing_of, unwrap
from traksense_ingest.writer.decode.points import measures_of, no_nul_in
from traksense_ingest.writer.decode.schema import (
    AckV1,
    CommandV1,
    Telemetry,
    ack_v1,
    any_object,
    as_poison,
    command_v1,
    compact_json,
    event_v1,
    no_nul,
    state_v1,
    telem_v1,
    validate,
)
from traksense_ingest.writer.decode.timestamp import out_of_range
from traksense_ingest.writer.decode.topic import Topic, kind_of, tenant_of
from traksense_ingest.writer.entry import Entry
from traksense_ingest.writer.outcome import (
    AckRow,
    CommandRow,
    Decoded,
    EventRow,
    Ignored,
    Poison,
    Rejected,
    Sighting,
)

NUL_ESCAPED = r"\u0000"  # the only way that JSON has for it
OPENING_BRACE, CLOSING_BRACE = b"{}"
_STATES = {"online": True, "offline": False, "1": True, "0": False}  # whether the device is online; any other text: yes
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

    def decoded(self, entry: Entry, topic: Topic) -> Decoded | Ignored:
        """The rows of an entry with a payload that is not empty; `topic` has the names. Raises Poison."""
        payload = entry.payload or b""
        if payload[0] == OPENING_BRACE and payload[-1] == CLOSING_BRACE:
            return self._decode(entry, topic)
        return self._decode_unwrapped(entry, payload, topic)

    def _decode(self, entry: Entry, topic: Topic) -> Decoded | Ignored:
        text = self._text(entry.payload or b"")
        match topic.kind:
            case "telem":
                return self._telem(entry, topic, text)
            case "ack":
                return self._ack(entry, topic, text)
            case "state":
                return self._state(entry, topic, text)
            case "cmd":
                return self._command(entry, topic, text)
            case _:
                return self._event(entry, topic, text)

    def _decode_unwrapped(self, entry: Entry, payload: bytes, topic: Topic) -> Decoded | Ignored:
        """Decode what a payload contains. The outcome keeps the entry as it came: a dead letter has its exact bytes."""
        self._check_size(payload)
        packing = packing_of(payload)
        try:
            content = unwrap(payload, packing, self.max_payload_bytes)
            if content is payload:
                return self._decode(entry, topic)
            outcome = self._decode(entry._replace(payload=content), topic)
        except Poison as poison:
            if packing:
                poison.args = (f"{poison} ({packing})",)
            raise
        if isinstance(outcome, Ignored):
            return replace(outcome, entry=entry)
        return outcome._replace(entry=entry, unpacked=len(content) if packing else 0)

    def _check_size(self, payload: bytes) -> None:
        if len(payload) > self.max_payload_bytes:
            raise Poison(
                "payload_too_large",
                "payload",
                f"{len(payload)} bytes, at most {self.max_payload_bytes} are allowed",
            )

    def _text(self, payload: bytes) -> str:
        if len(payload) > self.max_payload_bytes:
            self._check_size(payload)
        try:
            text = payload.decode()
        except UnicodeDecodeError as error:
            raise Poison("parse_error", "payload", f"not UTF-8 at byte {error.start}{looks_like(payload)}") from None
        if "NaN" in text or "Infinity" in text:  # numbers for pydantic, not for JSON
            _refuse_constants(text)
        return text

    def _telem(self, entry: Entry, topic: Topic, text: str) -> Decoded:
        telemetry = _telemetry(text)
        self.check_time(entry, telemetry["ts"], "ts")
        meta = compact_json(telemetry["meta"], "meta") if telemetry.get("meta") else None
        if meta and len(meta) * len(telemetry["points"]) > META_BYTES_MAX:
            raise Poison("payload_too_large", "meta", f"{len(meta)} characters, repeated in each point's row")
        if NUL_ESCAPED in text:
            no_nul_in(telemetry["points"])
        measures, same_point = measures_of(topic, telemetry, meta)
        devices = sightings_of(entry, topic, telemetry["ts"], meta)
        return Decoded(entry, "telem", devices, telemetry["ts"], (measures,), same_point=same_point)

    def _ack(self, entry: Entry, topic: Topic, text: str) -> Decoded:
        ack = validate(ack_v1, text)
        ts, err = ack.get("ts_exec"), ack.get("err")
        if ts is not None:
            self.check_time(entry, ts, "ts_exec")
        no_nul(ack["cmd_id"], "cmd_id")
        no_nul(err, "err")
        row = AckRow(
            topic.tenant, topic.device, ack["cmd_id"], ack["ok"], ts, err, _complete(text, AckV1), entry.appended_at
        )
        return Decoded(entry, "ack", sightings_of(entry, topic, ts), ts, (row,))

    def _event(self, entry: Entry, topic: Topic, text: str) -> Decoded:
        event = validate(event_v1, text)
        ts, type_ = event["ts"], event["event_type"]
        self.check_time(entry, ts, "ts")
        no_nul(type_, "event_type")
        no_nul(event.get("event_id"), "event_id")
        data = compact_json(event["data"], "data") if event.get("data") is not None else None
        id_ = event.get("event_id") or event_identity(type_, ts, event.get("data"))
        row = EventRow(topic.tenant, topic.device, id_, type_, ts, data, entry.appended_at)
        return Decoded(entry, "event", sightings_of(entry, topic, ts), ts, (row,))

    def _state(self, entry: Entry, topic: Topic, text: str) -> Decoded:
        """An event of the type `state`. A last will says that its device is offline, and is no sign of it."""
        state, ts = _state_in(text)
        if ts is not None:
            self.check_time(entry, ts, "ts")
        no_nul(state, "state")
        known = _STATES.get(state.lower())
        is_online = known is not False
        data = {"online": is_online} if known is not None else {"online": is_online, "state": state}
        at, is_replay = ts or entry.received_at, entry.retained and ts is None
        id_ = event_identity("state", at, data)
        content = compact_json(data, "state")
        row = EventRow(topic.tenant, topic.device, id_, "state", at, content, entry.appended_at, is_replay)
        return Decoded(entry, "state", sightings_of(entry, topic, ts) if is_online else (), ts, (row,))

    def _command(self, entry: Entry, topic: Topic, text: str) -> Decoded | Ignored:
        """A command is no sign of its device. Nobody knows when a retained one without a timestamp was sent."""
        command = validate(command_v1, text)
        ts, name = command.get("ts"), command.get("cmd")
        if ts is not None:
            self.check_time(entry, ts, "ts")
        elif entry.retained:
            return Ignored(entry, "cmd", RETAINED)
        no_nul(command["cmd_id"], "cmd_id")
        no_nul(name, "cmd")
        sent_at, payload = ts or entry.received_at, _complete(text, CommandV1)
        row = CommandRow(topic.tenant, topic.device, command["cmd_id"], sent_at, name, payload, entry.appended_at)
        return Decoded(entry, "cmd", (), ts, (row,))

    def check_time(self, entry: Entry, ts: datetime, where: str) -> None:
        """Raise Poison("out_of_range") for a time that can't be right."""
        now = self.clock()
        if out_of_range(ts, now, self.max_future_s):
            now = max(now, entry.appended_at)  # ids never go back, as this host's clock may
            if wrong := out_of_range(ts, now, self.max_future_s):
                raise Poison("out_of_range", where, wrong, ahead=ts if ts > now else None)


def reject(
    entry: Entry,
    error_class: str,
    reason: str,
    sqlstate: str | None = None,
    kind: str | None = None,
    tenant_id: str | None = None,
) -> Rejected:
    """The dead letter of an entry. The kind and the tenant are what the topic says unless a kind is given, by a
    mapping; with one, `tenant_id` is the tenant, and None that there is none."""
    if kind is None:
        kind, tenant_id = kind_of(entry.topic), tenant_of(entry.topic)
    return Rejected(entry, kind, tenant_id, error_class, reason, sqlstate)


def reject_for(entry: Entry, poison: Poison) -> Rejected:
    """The dead letter of an entry that decoding refuses."""
    rejected = reject(entry, poison.reason, str(poison), kind=poison.kind, tenant_id=poison.tenant_id)
    if poison.ahead or poison.birth or poison.named_by:
        return replace(rejected, ahead=poison.ahead, device=poison.device, birth=poison.birth, named_by=poison.named_by)
    return rejected


def _telemetry(text: str) -> Telemetry:
    if '"schema"' in text:  # true for every v1 message, and saves a second parse
        try:
            return telem_v1.validate_json(text)
        except ValidationError as error:
            if not any(detail["loc"] == ("schema",) and detail["type"] == "missing" for detail in error.errors()):
                raise as_poison(error, text) from None
    if "schema" in validate(any_object, text):
        return validate(telem_v1, text)
    raise Poison("parse_error", "schema", "missing, and no vendor format recognises the payload")


def sightings_of(entry: Entry, topic: Topic, ts: datetime | None, meta: str | None = None) -> tuple[Sighting, ...]:
    """When the device was seen: none of a retained message without a timestamp."""
    seen = ts if entry.retained else entry.received_at
    return (Sighting(topic.tenant, topic.device, topic.site, meta, seen),) if seen else ()


def event_identity(event_type: str, ts: datetime, data: object) -> str:
    """The identity of an event that has no id: its content."""
    content = json.dumps([event_type, ts.astimezone(UTC).isoformat(), data or None], sort_keys=True)
    return f"sha256:{hashlib.sha256(content.encode()).hexdigest()}"


def _state_in(text: str) -> tuple[str, datetime | None]:
    """The state, and its time if it has one: of JSON, or of a plain text such as last wills have."""
    plain = text.strip()
    if plain.lower() in _STATES:
        return plain, None
    if not plain.startswith(chr(OPENING_BRACE)):
        raise Poison("parse_error", "payload", f"should be a JSON object or one of {', '.join(_STATES)}")
    found = validate(state_v1, text)
    return found["state"], found.get("ts")


def _complete(text: str, schema: type[AckV1 | CommandV1]) -> str:
    """A payload with all its keys; where jsonb can't hold one that is unknown, with the known ones only."""
    payload = validate(any_object, text)
    try:
        return compact_json(payload, "payload")
    except Poison:
        return compact_json({key: payload[key] for key in schema.__annotations__ if key in payload}, "payload")


def _refuse_constants(text: str) -> None:
    def refuse(constant: str) -> None:
        raise Poison("parse_error", "payload", f"Invalid JSON: {constant} is not a JSON number")

    try:
        json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError):
        """Not JSON at all: validation gives the reason."""
