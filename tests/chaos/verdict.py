"""What became of every message, as exact sets: what was acknowledged to a device against what is in the tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from tests.chaos.load import (
    ACK_AFTER,
    POINTS,
    REPLAYED,
    START,
    TENANTS,
    Load,
    device_of,
    identity_of,
    message,
    tenant_of,
)
from tests.chaos.tap import Seen

_STORED = {
    # A message's points are stored as one: fewer than all of them, or another's values, is damage.
    "telem": f"""
        SELECT (extract(epoch FROM ts - $1) * 1000)::bigint AS number,
               count(*) = {POINTS} AND bool_and(v_num = (extract(epoch FROM ts - $1) * 1000)::bigint) AS whole,
               count(*) - count(DISTINCT point_id) AS twice
        FROM ts_measure WHERE tenant_id <> '{REPLAYED}' GROUP BY ts""",
    "cmd": """
        SELECT cmd_id::bigint AS number, count(*) - 1 AS twice,
               bool_and(cmd = 'chaos' AND (extract(epoch FROM sent_at - $1) * 1000)::bigint = cmd_id::bigint) AS whole
        FROM command GROUP BY cmd_id""",
    "ack": f"""
        SELECT cmd_id::bigint + {ACK_AFTER} AS number, bool_and(ok) AS whole, count(*) - 1 AS twice
        FROM cmd_ack GROUP BY cmd_id""",
    "event": """
        SELECT event_id::bigint AS number, true AS whole, count(*) - 1 AS twice
        FROM device_event WHERE event_type <> 'state' GROUP BY event_id""",
    "state": """
        SELECT split_part(data ->> 'state', ' ', 2)::bigint AS number, count(*) - 1 AS twice,
               bool_and(data = jsonb_build_object('online', true, 'state', data ->> 'state')) AS whole
        FROM device_event WHERE event_type = 'state' GROUP BY data ->> 'state'""",
}
# What a tenant's own views show: of each command whether it is acknowledged, and the newest state of each device.
_COMMANDS = "SELECT device_id, cmd_id::bigint, sent_at IS NOT NULL, acknowledged_at IS NOT NULL FROM tenant.command"
_STATES = "SELECT device_id, split_part(state, ' ', 2)::bigint FROM tenant.device_state"
# A message that MQTT delivers twice is two entries, each with its dead letter: the ledger has their number.
_DEAD_LETTERS = f"""
    SELECT DISTINCT coalesce(payload_raw, convert_to(payload, 'UTF8')) AS payload
    FROM ingest_errors WHERE tenant_id IS DISTINCT FROM '{REPLAYED}'"""

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
    damaged: frozenset[int]  # stored in part, or not as it was sent; a command or a state that a view shows wrongly
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
    # What has reached a receiver it must store, whether the broker lives or not.
    received = seen.delivered.keys() | seen.acknowledged
    lost_by_broker = frozenset(
        number
        for number, payload in payloads.items()
        if payload not in received and any(end.explains(load.record.confirmed[number]) for end in ends)
    )
    return Verdict(
        acknowledged,
        stored,
        missing - lost_by_broker,
        lost_by_broker,
        reached=frozenset(number for number, payload in payloads.items() if payload in seen.delivered),
        duplicated=_numbers(row for _, row in rows if row["twice"]) | (letters & _numbers(row for _, row in rows)),
        damaged=_numbers(row for _, row in rows if not row["whole"]) | await _wrongly_shown(connection, stored),
        invented=frozenset(number for kind, number in found if not _belongs(kind, number, load.published)),
    )


async def _wrongly_shown(connection: asyncpg.Connection, stored: frozenset[int]) -> frozenset[int]:
    """The numbers of commands and states that the views of their tenant lack, or show in another way than the tables'
    rows say."""
    shown: set[tuple[Any, ...]] = set()
    async with connection.transaction():
        for tenant in TENANTS:
            await connection.execute("SELECT set_config('app.tenant_id', $1, true)", tenant)
            for query in (_COMMANDS, _STATES):
                shown |= {(tenant, *row) for row in await connection.fetch(query)}
    return frozenset(row[2] for row in shown ^ (_commands_of(stored) | _states_of(stored)))


def _commands_of(stored: frozenset[int]) -> set[tuple[Any, ...]]:
    """An ACK whose command the broker has lost is shown as well."""
    sent = {number for number in stored if identity_of(number).kind == "cmd"}
    acknowledged = {number - ACK_AFTER for number in stored if identity_of(number).kind == "ack"}
    return {
        (tenant_of(number), device_of(number), number, number in sent, number in acknowledged)
        for number in sent | acknowledged
    }


def _states_of(stored: frozenset[int]) -> set[tuple[Any, ...]]:
    newest: dict[tuple[str, str], int] = {}
    for number in sorted(stored):
        if identity_of(number).kind == "state":
            newest[tenant_of(number), device_of(number)] = number
    return {(*device, number) for device, number in newest.items()}


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
