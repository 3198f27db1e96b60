"""What became of every message, as exact sets: what was acknowledged to a device against what is in the tables."""

from __future__ import annotations

from collections.abc import Iterable
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
    # A message that MQTT delivers twice is two entries, each with its dead letter.
    "poison": """
        SELECT coalesce(substring(payload FROM '^poison ([0-9]+)$')::bigint, -1) AS number, true AS whole,
               count(*) - count(DISTINCT (stream, entry_id)) AS twice
        FROM ingest_errors GROUP BY payload""",
}


@dataclass(frozen=True)
class Verdict:
    """Numbers of messages."""

    acknowledged: frozenset[int]
    stored: frozenset[int]  # in the tables where they belong; a dead letter for poison
    lost: frozenset[int]  # by the pipeline
    lost_by_broker: frozenset[int]  # acknowledged to the device, then never given to the pipeline for good
    duplicated: frozenset[int]
    damaged: frozenset[int]  # stored in part, or not as it was sent
    invented: frozenset[int]  # never published, or a good message among the dead letters

    @property
    def is_good(self) -> bool:
        """Nothing lost, nothing twice, nothing wrong."""
        return not (self.lost or self.duplicated or self.damaged or self.invented)


async def judge(connection: asyncpg.Connection, load: Load, seen: Seen, broker_back_at: float) -> Verdict:
    """Compare. What the broker told a device before the receivers were back from its last end (time.monotonic(), 0 for
    none), and what no receiver has acknowledged to it, was the broker's to keep."""
    rows: list[tuple[str, Any]] = []
    for kind, query in _STORED.items():
        arguments = [START] if "$1" in query else []
        rows += [(kind, row) for row in await connection.fetch(query, *arguments)]
    stored = frozenset(row["number"] for kind, row in rows if _belongs(kind, row["number"], load.published))
    acknowledged = frozenset(load.record.confirmed)
    missing = acknowledged - stored
    entrusted = {number for number in missing if load.record.confirmed[number] < broker_back_at}
    lost_by_broker = frozenset(number for number in entrusted if message(number).payload not in seen.acknowledged)
    return Verdict(
        acknowledged,
        stored,
        missing - lost_by_broker,
        lost_by_broker,
        duplicated=_numbers(row for _, row in rows if row["twice"]),
        damaged=_numbers(row for _, row in rows if not row["whole"]),
        invented=_numbers(row for kind, row in rows if not _belongs(kind, row["number"], load.published)),
    )


def _belongs(kind: str, number: int, published: int) -> bool:
    return 0 <= number < published and identity_of(number).kind == kind


def _numbers(rows: Iterable[Any]) -> frozenset[int]:
    return frozenset(row["number"] for row in rows)
