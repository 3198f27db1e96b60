"""A row of ingest_errors, with the exact bytes of the message; and which of them a command selects."""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

_NO_FIELD = ": the entry has no such field"

# writer/store/dead_letter.py shows as \xNN what text can't hold, which a topic may also have in it as it is. Of these
# classes it isn't known that the topic was text without a NUL; of all others it was, since something else is wrong with
# them.
_ESCAPED = {
    "invalid_topic": re.compile(r"\\x00"),
    "max_deliveries": re.compile(r"\\x(?:00|[89a-f][0-9a-f])"),
}
_NO_TEXT = "invalid_topic: topic: not UTF-8"


@dataclass(frozen=True, slots=True)
class DeadLetter:
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
    received_at: datetime | None  # by a receiver; None in rows of a version that did not keep it
    replayed_at: datetime | None

    @property
    def replay_blocker(self) -> str | None:
        """Why the message can't be appended exactly as it was, or None."""
        return replay_blocker(self.topic, self.reason, self.error_class)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: `payload` where text holds the exact bytes, else `payload_base64`."""
        payload = (
            {"payload": self.payload.decode()}
            if self.is_text
            else {"payload_base64": base64.b64encode(self.payload).decode()}
        )
        return fit_for_json({**asdict(self), **payload}, leaving_out={"is_text", *({"payload"} - payload.keys())})


def replay_blocker(topic: str, reason: str, error_class: str) -> str | None:
    """Why the message of a dead letter can't be appended exactly as it was, or None."""
    if reason.endswith(_NO_FIELD):
        return "the entry lacked a field, which no device's message does"
    escaped = _ESCAPED.get(error_class)
    if reason.startswith(_NO_TEXT) or (escaped and escaped.search(topic)):
        return r"the topic's exact bytes are not known: what text can't hold is kept as \x…"
    return None


def dead_letter_from(row: Mapping[str, Any]) -> DeadLetter:
    """From a row of the statements `letters` and `due`."""
    return DeadLetter(**row)


def fit_for_json(row: Mapping[str, Any], leaving_out: Collection[str] = ()) -> dict[str, Any]:
    """A row with its times as RFC 3339."""
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in row.items()
        if name not in leaving_out
    }


@dataclass(frozen=True, slots=True)
class Selection:
    """All given conditions must hold; None is no condition."""

    ids: tuple[int, ...] | None = None
    tenant: str | None = None
    reason: str | None = None  # error_class
    since: datetime | None = None
    until: datetime | None = None  # exclusive
    replayed: bool | None = None
    first: int | None = None  # ids from this one on
    last: int | None = None  # … up to this one
    text: str | None = None  # in the reason or the topic; upper and lower case are the same
    device: str | None = None  # a level of the topic, several if it has slashes, or tenant/level
    group: str | None = None  # reason_group, the reason without its values

    @property
    def is_everything(self) -> bool:
        """Whether there is no condition."""
        return self == Selection(first=self.first, last=self.last)

    def between(self, first: int | None, last: int | None) -> Selection:
        """Within a range of ids."""
        return replace(self, first=first, last=last)

    @property
    def arguments(self) -> tuple[Any, ...]:
        """The values of {selected}, $1 to $11."""
        ids = None if self.ids is None else list(self.ids)
        names = (self.tenant, self.reason, self.since, self.until, self.replayed, self.first, self.last)
        return (ids, *names, self.text, self.device, self.group)

    def as_dict(self) -> dict[str, Any]:
        """The conditions, for JSON."""
        return {name: value for name, value in fit_for_json(asdict(self)).items() if value is not None}

    @classmethod
    def from_dict(cls, conditions: Mapping[str, Any]) -> Selection:
        """From what `as_dict` returns; raises ValueError, TypeError and KeyError for anything else."""
        given = dict(conditions)
        for name in ("since", "until"):
            if name in given:
                given[name] = datetime.fromisoformat(given[name])
        if "ids" in given:
            given["ids"] = tuple(int(id_) for id_ in given["ids"])
        return cls(**given)
