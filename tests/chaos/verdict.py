"""What became of every message, as exact sets: what was acknowledged to a device against what is in the tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from tests.chaos.load import POINTS, START, Load, identity_of, message
from tests.chaos.tap import Seen

_STORED = {
    # A message's points are stored as one: fewer than all of them, or another's values, is damage.
    "telem": f"""
        SELECT (extract(epoch FROM ts - $1) * 1000)::bigint AS number,
               count(*) = {POINTS} AND bool_and(v_num = (extract(epoch FROM ts - $1) * 1000)::bigint) AS whole,
               count(*) - count(DISTINCT point_id) AS twice
        FROM ts_measure GROUP BY ts""",
    "ack": "SELECT cmd_id::bigint AS number, true AS whole, count(*) - 1 AS twice FROM cmd_ack GROUP BY cmd_id",
    "event": """
        SELECT event_id::bigint AS number, true AS whole, count(*) - 1 AS twice FROM device_event GROUP BY event_id""",
}
# A message that MQTT delivers twice is two entries, each with its dead letter: the ledger has their number.
_DEAD_LETTERS = "SELECT DISTINCT coalesce(payload_raw, convert_to(payload, 'UTF8')) AS payload FROM ingest_errors"

# Mosquitto saves at the first turn of its loop, 0.1 s at most, at which `last save + autosave_interval < now` in whole
# seconds. With 1, as here, that is 2 s after the last save; the rest is for writing the file and for the harness, which
# may note a PUBACK later than it was sent.
UNSAVED_S = 2.0 + 0.1 + 0.4


@dataclass(frozen=True)
class BrokerEnd:
    """One end of the broker; times by time.monotonic()."""

    started: float  # it was well until then
    back: float  # receivers and broker work together again

    def explains(self, confirmed: float) -> bool:
        """Whether a message that never reached a receiver may be this end's loss.

        It must have been acknowledged to the device so late that it was not saved, or before the receivers were back:
        then the shared group had no members.
        """
        return self.started - UNSAVED_S <= confirmed <= self.back


@dataclass(frozen=True)
class Verdict:
    """Numbers of messages."""

    acknowledged: frozenset[int]
    stored: frozenset[int]  # in the tables where they belong; a dead letter for poison
    lost: frozenset[int]  # by the pipeline
    lost_by_broker: frozenset[int]  # acknowledged to the device, forgotten before it reached a receiver
    reached: frozenset[int]  # of what the pipeline lost, what reached a receiver's socket
    duplicated: frozenset[int]  # a row more than it has, under any tenant, device or id; or stored and dead-lettered
    damaged: frozenset[int]  # stored in part, or not as it was sent
    invented: frozenset[int]  # never published, or in another table than its own

    @property
    def is_good(self) -> bool:
        """Nothing lost, nothing twice, nothing wrong."""
        return not (self.lost or self.duplicated or self.damaged or self.invented)


async def judge(connection: asyncpg.Connection, load: Load, seen: Seen, ends: Sequence[BrokerEnd]) -> Verdict:
    """Compare. What has reached a receiver's socket is the pipeline's for good; so is every other message that a device
    had a PUBACK for, unless an end of the broker explains it."""
    rows: list[tuple[str, Any]] = []
    for kind, query in _STORED.items():
        arguments = [START] if "$1" in query else []
        rows += [(kind, row) for row in await connection.fetch(query, *arguments)]
    letters = _numbers_of({row["payload"] for row in await connection.fetch(_DEAD_LETTERS)}, load.published)
    found = [(kind, row["number"]) for kind, row in rows] + [("poison", number) for number in letters]
    stored = frozenset(number for kind, number in found if _belongs(kind, number, load.published))
    acknowledged = frozenset(load.record.confirmed)
    missing = acknowledged - stored
    payloads = {number: message(number).payload for number in missing}
    lost_by_broker = frozenset(
        number
        for number, payload in payloads.items()
        # What has reached a receiver it must store, whether the broker lives or not.
        if payload not in seen.delivered.keys() | seen.acknowledged
        and any(end.explains(load.record.confirmed[number]) for end in ends)
    )
    return Verdict(
        acknowledged,
        stored,
        missing - lost_by_broker,
        lost_by_broker,
        reached=frozenset(number for number, payload in payloads.items() if payload in seen.delivered),
        duplicated=_numbers(row for _, row in rows if row["twice"]) | (letters & _numbers(row for _, row in rows)),
        damaged=_numbers(row for _, row in rows if not row["whole"]),
        invented=frozenset(number for kind, number in found if not _belongs(kind, number, load.published)),
    )


def _numbers_of(payloads: set[bytes], published: int) -> frozenset[int]:
    """Which messages these are; -1 for what is none."""
    poison = re.compile(rb"poison (\d+)")
    numbers = {int(match[1]) for payload in payloads if (match := poison.fullmatch(payload))}
    if strange := {payload for payload in payloads if not poison.fullmatch(payload)}:
        known = {sent: number for number in range(published) if (sent := message(number).payload) in strange}
        numbers |= {known.get(payload, -1) for payload in strange}
    return frozenset(numbers)


def _belongs(kind: str, number: int, published: int) -> bool:
    return 0 <= number < published and identity_of(number).kind == kind


def _numbers(rows: Iterable[Any]) -> frozenset[int]:
    return frozenset(row["number"] for row in rows)
