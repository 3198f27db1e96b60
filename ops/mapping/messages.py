"""Messages in files: JSON Lines of `topic`, `payload` (or `payload_hex`, where it is no text), `received_at`, and
`retained` where it is set."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from traksense_ingest.shared.errors import ConfigurationError
from traksense_ingest.shared.mapping.expected import Message


def message_line(message: Message) -> str:
    """A message as one line of a capture."""
    return json.dumps(message_dict(message), ensure_ascii=False)


def message_dict(message: Message) -> dict[str, Any]:
    """A message for JSON."""
    try:
        payload = {"payload": message.payload.decode()}
    except UnicodeDecodeError:
        payload = {"payload_hex": message.payload.hex()}
    found = {"topic": message.topic, **payload, "received_at": rfc3339(message.received)}
    return found | ({"retained": True} if message.retained else {})


def bytes_of(hexadecimal: str) -> bytes:
    """A payload in hexadecimal, with or without blanks; raises ValueError."""
    try:
        return bytes.fromhex(hexadecimal)
    except ValueError:
        raise ValueError("two hexadecimal digits for each byte, as 0a1b2c") from None


def read_capture(file: Path) -> Iterator[Message]:
    """The messages of a capture; raises ConfigurationError with the line that is none."""
    try:
        with file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield parsed_line(line, f"{file}:{number}")
    except (OSError, UnicodeDecodeError) as error:
        what = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ConfigurationError(f"{file}: can't be read: {what}") from None


def parsed_line(line: str, where: str) -> Message:
    """The message of a line; raises ConfigurationError, which begins with `where`."""
    try:
        value = json.loads(line)
        topic, received = value["topic"], datetime.fromisoformat(value["received_at"])
        payload = bytes.fromhex(value["payload_hex"]) if "payload_hex" in value else value["payload"].encode()
        if not isinstance(topic, str) or received.tzinfo is None:
            raise ValueError
        return Message(topic, payload, received.astimezone(UTC), value.get("retained") is True)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ConfigurationError(
            f"{where}: no message; a line is a JSON object with topic, payload or payload_hex, and received_at "
            "(RFC 3339 with Z or an offset)"
        ) from None


def rfc3339(moment: datetime) -> str:
    """In UTC, with Z, and as many digits of the second as it needs: none, 3 or 6."""
    precision = "seconds" if not moment.microsecond else "milliseconds" if not moment.microsecond % 1000 else "auto"
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec=precision) + "Z"
