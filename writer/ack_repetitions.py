"""One row for each command out of the ACKs of a batch: ON CONFLICT DO UPDATE takes a key only once."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

from writer.outcome import Ack

_NEVER = datetime.min.replace(tzinfo=UTC)


class AckRow(NamedTuple):
    """What `upsert_acks` takes: the newest ACK of a command, and when its first and last came."""

    tenant_id: str
    device_id: str
    cmd_id: str
    ok: bool
    ts_exec: datetime | None
    err: str | None
    payload: str
    first_at: datetime
    last_at: datetime


def merge_acks(acks: Iterable[Ack]) -> list[AckRow]:
    """The rows of a batch, sorted by key; each takes its values from the ACK with the newest ts_exec."""
    by_key: dict[tuple[str, str, str], list[Ack]] = {}
    for ack in acks:
        by_key.setdefault(ack[:3], []).append(ack)
    return [_merge(by_key[key]) for key in sorted(by_key)]


def _merge(repetitions: list[Ack]) -> AckRow:
    newest = max(repetitions, key=lambda ack: (ack.ts_exec or _NEVER, ack.at))
    times = [ack.at for ack in repetitions]
    return AckRow(*newest[:7], first_at=min(times), last_at=max(times))
