"""The ACKs of a batch into cmd_ack: one row for each command, since ON CONFLICT DO UPDATE takes a key only once.

A retained ACK counts only where there is no other of its command, neither in the table nor before it in the batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from traksense_ingest.writer.outcome import AckRow
from traksense_ingest.writer.store import sql

_NEVER = datetime.min.replace(tzinfo=UTC)


class MergedAck(NamedTuple):
    """What `upsert_acks` takes: the newest ACK of a command, and when the first and the last one were appended."""

    tenant_id: str
    device_id: str
    cmd_id: str
    ok: bool
    ts_exec: datetime | None
    err: str | None
    payload: str
    first_at: datetime
    last_at: datetime


async def upsert_acks(connection: Any, acks: Sequence[tuple[AckRow, bool]]) -> int:
    """Write a batch's ACKs, each with whether it is retained; returns how many commands are new. Raises KeptOut."""
    retained = first_retained(acks)
    new = count = await sql.execute(connection, sql.INSERT_RETAINED_ACKS, retained)
    rows = merge_acks(ack for ack, is_retained in acks if not is_retained)
    if rows:
        returned = await connection.fetch(sql.UPSERT_ACKS, *sql.columns(rows))
        new, count = new + sum(row["is_new"] for row in returned), count + len(returned)
    if count < len(retained) + len(rows):
        await sql.require(connection, "cmd_ack", sql.MISSING_ACKS, [row[:3] for row in (*retained, *rows)])
    return new


def merge_acks(acks: Iterable[AckRow]) -> list[MergedAck]:
    """The rows of a batch, sorted by key; each takes its values from the ACK with the newest ts_exec."""
    by_key: dict[tuple[str, str, str], list[AckRow]] = {}
    for ack in acks:
        by_key.setdefault(ack[:3], []).append(ack)
    return [_merge(by_key[key]) for key in sorted(by_key)]


def first_retained(acks: Iterable[tuple[AckRow, bool]]) -> list[AckRow]:
    """Of a batch's ACKs, each with whether it is retained: the retained ones that come before all others of their
    command, sorted by key."""
    first: dict[tuple[str, str, str], tuple[AckRow, bool]] = {}
    for ack, is_retained in acks:
        first.setdefault(ack[:3], (ack, is_retained))
    return [ack for _, (ack, is_retained) in sorted(first.items()) if is_retained]


def _merge(repetitions: list[AckRow]) -> MergedAck:
    newest = max(repetitions, key=lambda ack: (ack.ts_exec or _NEVER, ack.at))
    times = [ack.at for ack in repetitions]
    return MergedAck(*newest[:7], first_at=min(times), last_at=max(times))
