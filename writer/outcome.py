"""What can become of an entry: rows, a dead letter, or another try later. A closed union."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, NamedTuple

from writer.entry import Entry
from writer.measures import NO_MEASURES, Measures


class Poison(Exception):
    """A message that can never be stored: its class (the metric's label), where in it, and what is wrong."""

    def __init__(self, reason: str, where: str, what: str) -> None:
        super().__init__(f"{reason}: {where}: {what}" if where else f"{reason}: {what}")
        self.reason = reason


class Ack(NamedTuple):
    """A row of cmd_ack; `at` is when this repetition was appended to the stream."""

    tenant_id: str
    device_id: str
    cmd_id: str
    ok: bool
    ts_exec: datetime | None
    err: str | None
    payload: str  # JSON
    at: datetime


class Event(NamedTuple):
    """A row of device_event."""

    tenant_id: str
    device_id: str
    event_id: str
    event_type: str
    ts: datetime
    data: str | None  # JSON
    created_at: datetime


class Sighting(NamedTuple):
    """What a message says of its device: where it is, when it was heard, and its meta as JSON."""

    tenant_id: str
    device_id: str
    site_id: str
    meta: str | None
    seen: datetime


class Decoded(NamedTuple):
    """The message is good. It is stored as one: all of its rows or none."""

    entry: Entry
    kind: str  # telem, ack or event
    device: Sighting
    ts: datetime | None  # the device's own time of it, where it gave one
    measures: Measures = NO_MEASURES
    repeated: int = 0  # points whose name came before in the same message
    ack: Ack | None = None
    event: Event | None = None

    @property
    def verdict(self) -> str:
        """The ledger's field."""
        return "stored"

    @property
    def weight(self) -> int:
        """About how many bytes its rows are."""
        return len(self.entry.payload or b"") + len(self.device.meta or "") * len(self.measures)


@dataclass(frozen=True, slots=True)
class Rejected:
    """The message is poison: a row of ingest_errors, with its exact bytes."""

    verdict: ClassVar[str] = "dead_lettered"

    entry: Entry
    kind: str  # telem, ack, event or unknown
    tenant_id: str | None
    error_class: str  # one of shared.reasons.POISON_REASONS
    reason: str  # class: where: what
    sqlstate: str | None = None

    @property
    def weight(self) -> int:
        """About how many bytes its row is."""
        return len(self.entry.payload or b"")


@dataclass(frozen=True, slots=True)
class Deferred:
    """A bug kept it from being handled: it stays pending, and is tried again."""

    entry: Entry
    error: Exception


Settleable = Decoded | Rejected
Outcome = Decoded | Rejected | Deferred
