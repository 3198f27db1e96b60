"""What can become of an entry: rows, a dead letter, nothing at all, another try later, or no try until something is
repaired. A closed union: whoever matches it ends with `assert_never`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, NamedTuple, assert_never

from traksense_ingest.writer.decode.measures import Measures
from traksense_ingest.writer.entry import Entry


class Poison(Exception):
    """A message that can never be stored: the error class (the metric's label), the path in it, and what is wrong."""

    def __init__(self, reason: str, where: str, what: str, ahead: datetime | None = None) -> None:
        super().__init__(f"{reason}: {where}: {what}" if where else f"{reason}: {what}")
        self.reason = reason
        self.ahead = ahead  # the timestamp, where it is too far in the future
        self.kind: str | None = None  # of the message, where a mapping took it; else its topic says it
        self.tenant_id: str | None = None  # with a kind; None where it has none, or several
        self.birth: Birth | None = None  # what it says of aliases, which holds all the same
        self.named_by: NamedBy | None = None  # the BIRTH by which its metrics had names and data types
        self.device: str | None = None  # tenant/device, where a mapping took it and it is about one

    def copy(self) -> Poison:
        """The same, to be raised once more: an exception keeps the traceback of each time."""
        poison = Poison(self.reason, "", "", self.ahead)
        poison.args, poison.kind, poison.tenant_id = self.args, self.kind, self.tenant_id
        return poison


class AckRow(NamedTuple):
    """A row of cmd_ack; `at` is when this repetition was appended to the stream."""

    tenant_id: str
    device_id: str
    cmd_id: str
    ok: bool
    ts_exec: datetime | None
    err: str | None
    payload: str  # JSON
    at: datetime


class CommandRow(NamedTuple):
    """A row of command; `at` is when this sending was appended to the stream."""

    tenant_id: str
    device_id: str
    cmd_id: str
    sent_at: datetime
    cmd: str | None
    payload: str  # JSON
    at: datetime


class EventRow(NamedTuple):
    """A row of device_event."""

    tenant_id: str
    device_id: str
    event_id: str
    event_type: str
    ts: datetime
    data: str | None  # JSON
    created_at: datetime
    is_replay: bool = False  # a retained state without a time of its own: not stored if it is the newest one already


class Sighting(NamedTuple):
    """What a message contributes to the table device: the site, when the device was seen, and its meta as JSON.

    A retained message counts as seen at its own timestamp.
    """

    tenant_id: str
    device_id: str
    site_id: str
    meta: str | None
    seen: datetime


class BornMetric(NamedTuple):
    """What a BIRTH of Sparkplug says of a metric."""

    name: str
    datatype: str  # as Sparkplug has it: Int32, Float …
    alias: int | None


class Birth(NamedTuple):
    """What a BIRTH of a Sparkplug node or device says of the messages that follow it. Of two of one device the one that
    was received later counts."""

    device_key: str  # the levels of its topic but for the type of message
    born_at: datetime  # when a receiver got it
    metrics: tuple[BornMetric, ...]
    tenant_id: str | None = None  # where the topic alone says it


class NamedBy(NamedTuple):
    """The BIRTH that gave the metrics of a message their names."""

    device_key: str
    born_at: datetime


Rows = Measures | AckRow | EventRow | CommandRow

ROW_BYTES = 64  # of a point at least, however few bytes it takes in a binary payload


class Decoded(NamedTuple):
    """The message is good, whatever number of devices it is about. It is stored as one: all of its rows or none."""

    entry: Entry
    kind: str  # one of shared.messages.KINDS
    devices: tuple[Sighting, ...]  # none of a command, nor of a retained message without a timestamp
    ts: datetime | None  # the newest of the timestamps that the devices gave; None without any
    rows: tuple[Rows, ...]  # may be of the same device and moment; a state is an EventRow
    unpacked: int = 0  # size of the payload after decompression, in bytes; 0 where it was not compressed
    same_point: int = 0  # readings that were dropped: the message has another one of the same point and moment
    mapping: str = ""  # the name of the one that decoded it; empty for version 1
    birth: Birth | None = None  # to be stored with it
    named_by: NamedBy | None = None  # where names of its points are from a BIRTH

    @property
    def verdict(self) -> str:
        """The ledger's field."""
        return "stored"

    @property
    def weight(self) -> int:
        """About how many bytes its rows are: the meta is repeated in each row of ts_measure."""
        payload = self.unpacked or len(self.entry.payload or b"")
        least = metas = 0
        for rows in self.rows:
            match rows:
                case Measures():
                    least += ROW_BYTES * len(rows.readings)
                    metas += len(rows.meta or "") * len(rows.readings)
                case AckRow() | CommandRow():
                    least += len(rows.payload)
                case EventRow():
                    least += len(rows.data or "")
                case _:
                    assert_never(rows)
        return max(payload, least) + metas

    @property
    def tenant_id(self) -> str | None:
        """The tenant of all its rows and devices; None where they have several, none of which may see the message."""
        tenants = {part.tenant_id for part in (*self.rows, *self.devices)}
        return tenants.pop() if len(tenants) == 1 else None


@dataclass(frozen=True, slots=True)
class Rejected:
    """The message is poison: a row of ingest_errors, with its exact bytes."""

    verdict: ClassVar[str] = "dead_lettered"

    entry: Entry
    kind: str  # one of shared.messages.KINDS, or unknown
    tenant_id: str | None
    error_class: str  # one of shared.messages.POISON_REASONS
    reason: str  # class: where: what
    sqlstate: str | None = None
    ahead: datetime | None = None  # its timestamp, where that is too far in the future
    device: str | None = None  # that gave it, tenant/device, where a mapping says so
    birth: Birth | None = None  # to be stored with it
    named_by: NamedBy | None = None  # the BIRTH by which its metrics had names and data types

    @property
    def weight(self) -> int:
        """About how many bytes its row is."""
        return len(self.entry.payload or b"")


@dataclass(frozen=True, slots=True)
class Ignored:
    """There is nothing to store: an empty payload, with which a device removes its topic's retained message, or a
    message that a mapping ignores."""

    verdict: ClassVar[str] = "ignored"
    weight: ClassVar[int] = 0  # bytes of rows

    entry: Entry
    kind: str  # one of shared.messages.KINDS, or unknown
    reason: str  # one of shared.messages.IGNORED_REASONS
    mapping: str = ""  # the name of the one that ignores it


@dataclass(frozen=True, slots=True)
class Deferred:
    """A bug kept it from being handled: it stays pending, and is tried again."""

    entry: Entry
    error: Exception
    kind: str | None = None  # where it was decoded, or a mapping says so; None: what the topic says
    tenant_id: str | None = None  # with a kind


@dataclass(frozen=True, slots=True)
class AwaitsBirth:
    """A Sparkplug message that can't be read before the BIRTH of its node or device is known: it stays pending for as
    long as it takes until an entry may be claimed, and is then a dead letter."""

    entry: Entry
    kind: str
    tenant_id: str | None
    device_key: str  # of the BIRTH
    reason: str  # unknown_alias: where: what


@dataclass(frozen=True, slots=True)
class HeldBack:
    """Its kind is refused at the moment, good messages too: it stays pending, and no try is counted."""

    entry: Entry
    kind: str  # one of canary.KINDS, or clock: what has to be repaired
    fault: Exception  # why a known good one is refused


Storable = Decoded | Rejected
Settleable = Storable | Ignored
Outcome = Settleable | Deferred | AwaitsBirth
Handled = Outcome | HeldBack
