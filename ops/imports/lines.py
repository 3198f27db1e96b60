"""A line of JSON Lines as a message: as `dlq export` and `mapping try --save` write them, or anybody else."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from traksense_ingest.ops.dlq.dead_letter import replay_blocker
from traksense_ingest.ops.imports.source import EARLIEST_MS, LATEST_MS, Invalid, Message

PAYLOADS = ("payload", "payload_base64", "payload_hex")


def parse_line(number: int, line: bytes) -> Message | Invalid | None:
    """The message of a line, counted from 1; what is wrong with it; or None if it is blank."""
    text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
    if not text.strip():
        return None
    position = str(number)
    try:
        fields = orjson.loads(text)
        if not isinstance(fields, dict):
            raise ValueError("no JSON object")
        return Message(position, _topic(fields), _payload(fields), _received_ms(fields.get("received_at")))
    except orjson.JSONDecodeError as error:
        return Invalid(position, f"not JSON: {error.msg} at column {error.colno}")
    except ValueError as error:
        return Invalid(position, str(error))


def _topic(fields: Mapping[str, Any]) -> str:
    topic = fields.get("topic")
    if not isinstance(topic, str):
        raise ValueError("topic: missing" if topic is None else "topic: must be a string")
    if blocker := replay_blocker(topic, _text(fields, "reason"), _text(fields, "error_class")):
        raise ValueError(blocker)
    return topic


def _text(fields: Mapping[str, Any], name: str) -> str:
    """A field that only a dead letter has."""
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def _payload(fields: Mapping[str, Any]) -> bytes:
    given = [name for name in PAYLOADS if fields.get(name) is not None]
    if len(given) != 1:
        raise ValueError(f"{' and '.join(given)}: one is enough" if given else "payload: missing")
    (name,) = given
    value = fields[name]
    if not isinstance(value, str):
        raise ValueError(f"{name}: must be a string that holds the exact payload")
    return _decoded(name, value)


def _decoded(name: str, value: str) -> bytes:
    if name == "payload":
        return value.encode()
    try:
        return base64.b64decode(value, validate=True) if name == "payload_base64" else bytes.fromhex(value)
    except (binascii.Error, ValueError):
        raise ValueError(f"{name}: not {'Base64' if name == 'payload_base64' else 'hexadecimal'}") from None


def _received_ms(value: object) -> int | None:
    """Of an RFC 3339 timestamp, or of milliseconds since the epoch as a stream has them."""
    if value is None:
        return None
    if isinstance(value, str):
        ms = _ms_of(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        ms = value
    else:
        raise ValueError("received_at: neither an RFC 3339 timestamp nor milliseconds since 1970")
    if not EARLIEST_MS <= ms < LATEST_MS:
        raise ValueError("received_at: not between the years 2000 and 9999")
    return ms


def _ms_of(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("received_at: not an RFC 3339 timestamp such as 2025-10-07T15:30:00Z") from None
    if moment.tzinfo is None:
        raise ValueError("received_at: has no Z or offset, unlike 2025-10-07T15:30:00Z")
    return round(moment.timestamp() * 1000)
