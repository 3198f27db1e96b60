"""Does the database accept a good message? Asked before a message that it refused is given up.

A known good message is decoded and stored by the very same statements, in a transaction that is rolled back. When it is
accepted, the refusal is about the message that was refused; when not, it is about the database.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Any, assert_never

from traksense_ingest.shared.database import transaction
from traksense_ingest.shared.failure import Suspect, Unusable, suspect_of
from traksense_ingest.shared.messages import topic_of
from traksense_ingest.writer.decode.current import CurrentRoutes
from traksense_ingest.writer.decode.decode import Clock, reject, utc_now
from traksense_ingest.writer.decode.measures import Measures
from traksense_ingest.writer.entry import Entry, parse_entry
from traksense_ingest.writer.outcome import (
    AckRow,
    AwaitsBirth,
    CommandRow,
    Decoded,
    Deferred,
    EventRow,
    Ignored,
    Rejected,
    Storable,
)
from traksense_ingest.writer.store import sql
from traksense_ingest.writer.store.tables import Tables

DEAD_LETTER = "dead_letter"
KINDS = ("telem", "ack", "event", "cmd", DEAD_LETTER)  # each has statements of its own

REMEMBERED = 2  # messages of each kind, each of another topic: one device may be refused that was fine before
KNOWN_DEVICES = 2
UNKNOWN_DEVICE = ("canary", "canary", "canary")  # tenant, device and site
PATIENCE_S = 5.0  # a database that needs longer for one small message can't be used

_STREAM = "ingest:{canary}"
_PAYLOADS: dict[str, dict[str, Any]] = {
    "telem": {"points": [{"name": "canary", "t": "float", "v": 0.5}]},
    "ack": {"cmd_id": "canary", "ok": True},
    "event": {"event_id": "canary", "event_type": "canary"},
    "cmd": {"cmd_id": "canary"},
}


def kind_of(outcome: Storable) -> str:
    """The kind of a message, by the statements that store it: one of KINDS."""
    return DEAD_LETTER if isinstance(outcome, Rejected) else statements_of(outcome.kind)


def statements_of(kind: str) -> str:
    """The kind whose statements store a message of this kind: a state is stored as an event."""
    return "event" if kind == "state" else kind


class Canary:
    """Remembers the last messages that were stored, and makes one up where there is none. Shared by all lanes."""

    def __init__(self, tables: Tables, decoder: CurrentRoutes, pool: Any, clock: Clock = utc_now) -> None:
        self._tables = tables
        self._decoder = decoder
        self._pool = pool
        self._clock = clock
        self._stored: dict[str, OrderedDict[bytes | None, Entry]] = {kind: OrderedDict() for kind in KINDS}

    def stored(self, batch: Sequence[Storable]) -> None:
        """These are committed: the last one of each kind is known to be good."""
        good: dict[str, Storable] = {}
        for outcome in reversed(batch):
            if (kind := kind_of(outcome)) not in good and _proves_its_kind(outcome):
                good[kind] = outcome
        for kind, last in good.items():
            entries = self._stored[kind]
            entries[last.entry.topic] = last.entry
            entries.move_to_end(last.entry.topic)
            if len(entries) > REMEMBERED:
                entries.popitem(last=False)

    async def fault_of(self, kind: str) -> Exception | None:
        """Why no good message of this kind is accepted at the moment; None when one is. Raises the error where the
        server is unreachable."""
        fault: Exception | None = None
        async for entry in self._candidates(kind):
            fault = await self._try(kind, entry)
            if fault is None:
                return None
        if fault and suspect_of(fault) is Suspect.SIZE:  # another session may have locked the rows of these devices
            fault = await self._try(kind, self._make(kind, *UNKNOWN_DEVICE))
        return fault

    async def _try(self, kind: str, entry: Entry) -> Exception | None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._tables.rehearse(self._outcome(kind, entry))
        except Exception as error:
            if suspect_of(error) is Suspect.SERVER:
                raise
            return error
        return None

    def _outcome(self, kind: str, entry: Entry) -> Storable:
        if kind == DEAD_LETTER:
            return reject(entry, "data_error", "data_error: a canary, never committed")
        outcome = self._decoder.decode(entry)
        match outcome:
            case Decoded():
                return _with_own_keys(outcome, self._clock())
            case Deferred():
                raise outcome.error
            case Rejected() | Ignored() | AwaitsBirth():
                raise Unusable(f"a known good message is not stored: {outcome.reason}")
            case _:
                assert_never(outcome)

    async def _candidates(self, kind: str) -> AsyncIterator[Entry]:
        """Messages of a kind that should be accepted, the likeliest first: stored ones, ones of known devices, any."""
        for entry in reversed([*self._stored[kind].values()]):
            yield entry
        for device in await self._known_devices() or [UNKNOWN_DEVICE]:
            yield self._make(kind, *device)

    async def _known_devices(self) -> list[Any]:
        """Tenant, device and site of some, whose keys other tables refer to; none where they can't be read."""
        try:
            async with asyncio.timeout(PATIENCE_S), transaction(self._pool) as connection:
                return list(await connection.fetch(sql.KNOWN_DEVICES, KNOWN_DEVICES))
        except Exception as error:
            if suspect_of(error) is Suspect.SERVER:
                raise
            return []

    def _make(self, kind: str, tenant: str, device: str, site: str) -> Entry:
        now = self._clock()
        ms = int(now.timestamp() * 1000)
        type_ = "telem" if kind == DEAD_LETTER else kind
        payload = {"schema": "v1", "ts": now.isoformat(), "ts_exec": now.isoformat(), **_PAYLOADS[type_]}
        fields = {
            b"topic": topic_of(tenant, site, device, type_).encode(),
            b"payload": json.dumps(payload).encode(),
            b"received_at": b"%d" % ms,
        }
        id_ = b"%d-%d" % (ms, random.getrandbits(30))
        return parse_entry(_STREAM, id_, [item for pair in fields.items() for item in pair])


def _proves_its_kind(outcome: Storable) -> bool:
    """Whether storing it shows that its kind can be stored: a message without points has no row, a retained one may
    change nothing."""
    if not isinstance(outcome, Decoded) or outcome.entry.retained:
        return False
    return any(not isinstance(rows, Measures) or rows.readings for rows in outcome.rows)


def _with_own_keys(good: Decoded, now: datetime) -> Decoded:
    """One row of the message under a key of its own, so that it conflicts with no row in the tables: a µs of the last
    second, since the partition where it was stored may exist while today's is missing; another command, another
    event."""
    number = random.randrange(1_000_000)  # noqa: S311
    rows = next((rows for rows in good.rows if not isinstance(rows, Measures) or rows.readings), None)
    match rows:
        case None:
            return good
        case Measures():
            first = rows.only(rows.readings[:1])
            first.ts = now.replace(microsecond=0) - timedelta(microseconds=number)
            return good._replace(rows=(first,))
        case AckRow() | CommandRow():
            return good._replace(rows=(rows._replace(cmd_id=f"{rows.cmd_id}-canary{number}"),))
        case EventRow():
            return good._replace(rows=(rows._replace(event_id=f"{rows.event_id}-canary{number}"),))
        case _:
            assert_never(rows)
