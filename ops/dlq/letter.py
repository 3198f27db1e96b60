"""A row of ingest_errors, with the exact bytes of the message."""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

_NO_FIELD = ": the entry has no such field"

# writer/dead_letter.py shows as \xNN what text can't hold, which a topic may also have in it as it is. Of these classes
# it isn't known that the topic was text without a NUL; of all others it was, since something else is wrong with them.
_ESCAPED = {
    "invalid_topic": re.compile(r"\\x00"),
    "max_deliveries": re.compile(r"\\x(?:00|[89a-f][0-9a-f])"),
}
_NO_TEXT = "invalid_topic: topic: not UTF-8"


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter."""

    id: int
    ts: datetime
    tenant_id: str | None
    topic: str
    payload: bytes
    is_text: bool  # the payload is UTF-8 without NUL
    reason: str
    error_class: str
    sqlstate: str | None
    stream: str
    entry_id: str
    deliveries: int
    replayed_at: datetime | None

    @property
    def obstacle(self) -> str | None:
        """Why the message can't be put into the stream exactly as it was, if it can't."""
        if self.reason.endswith(_NO_FIELD):
            return "the entry lacked a field, which no device's message does"
        escaped = _ESCAPED.get(self.error_class)
        if self.reason.startswith(_NO_TEXT) or (escaped and escaped.search(self.topic)):
            return r"the topic's exact bytes are not known: what text can't hold is kept as \x…"
        return None

    def as_dict(self) -> dict[str, Any]:
        """For JSON: `payload` where text holds the exact bytes, else `payload_base64`."""
        payload = (
            {"payload": self.payload.decode()}
            if self.is_text
            else {"payload_base64": base64.b64encode(self.payload).decode()}
        )
        return fit_for_json({**asdict(self), **payload}, leaving_out={"is_text", *({"payload"} - payload.keys())})


def letter_of(row: Mapping[str, Any]) -> Letter:
    """From a row of the statements `letters` and `due`."""
    return Letter(**row)


def fit_for_json(row: Mapping[str, Any], leaving_out: Collection[str] = ()) -> dict[str, Any]:
    """A row with its times as RFC 3339."""
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in row.items()
        if name not in leaving_out
    }
