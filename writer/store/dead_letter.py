"""A rejected entry as a row of ingest_errors: readable text, and the exact bytes where text can't hold them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from traksense_ingest.writer.outcome import Rejected
from traksense_ingest.writer.store import sql

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
RETAINED = "retained:"  # begins the entry_id of a retained message's dead letter; queries.sql has it, too
# Bytes that are shown of a payload that is no text: with replacement characters, 256 MiB would be too large for a row.
READABLE_MAX = 65_536


class DeadLetter(NamedTuple):
    """What `insert_dead_letters` takes."""

    tenant_id: str | None
    topic: str
    payload: str
    payload_raw: bytes | None
    reason: str
    error_class: str
    sqlstate: str | None
    stream: str
    entry_id: str
    deliveries: int
    received_at: datetime


async def insert_dead_letters(connection: Any, rejected: Sequence[Rejected]) -> Counter[str]:
    """Returns how many are new, by error class. Raises KeptOut."""
    rows = [dead_letter_row(outcome) for outcome in without_replays(rejected)]
    if not rows:
        return Counter()
    returned = await connection.fetch(sql.INSERT_DEAD_LETTERS, *sql.columns(rows))
    if len(returned) < len(rows):
        returned += await _insert_conflicting(connection, rows)
        keys = [_identity(row) for row in rows]
        await sql.require(connection, "ingest_errors", sql.MISSING_DEAD_LETTERS, keys)
    return Counter(row["error_class"] for row in returned)


async def _insert_conflicting(connection: Any, rows: Sequence[DeadLetter]) -> list[Any]:
    """A stream that was deleted gives ids again: the dead letter of another message must not pass for this one's."""
    conflicts = await connection.fetch(sql.OTHERS_WITH_THEIR_IDS, *sql.columns(map(_identity, rows)))
    renamed = [with_content_suffix(rows[conflict["number"] - 1]) for conflict in conflicts]
    return await connection.fetch(sql.INSERT_DEAD_LETTERS, *sql.columns(renamed)) if renamed else []


def _identity(row: DeadLetter) -> tuple[Any, ...]:
    return row.stream, row.entry_id, row.topic, row.payload, row.payload_raw


def dead_letter_row(rejected: Rejected) -> DeadLetter:
    """The row; every text in it is one that PostgreSQL takes."""
    entry = rejected.entry
    payload = entry.payload or b""
    readable, is_exact = _readable(payload)
    return DeadLetter(
        rejected.tenant_id,
        (entry.topic or b"").decode(errors="backslashreplace").replace("\0", r"\x00"),
        readable,
        None if is_exact else payload,
        rejected.reason.encode(errors="replace").decode().replace("\0", REPLACEMENT),
        rejected.error_class,
        rejected.sqlstate,
        entry.stream,
        f"{RETAINED}{entry.id}" if entry.retained else entry.import_id or entry.id,
        min(entry.deliveries, 2**31 - 1),
        entry.received_at,
    )


def without_replays(batch: Sequence[Rejected]) -> list[Rejected]:
    """Without retained messages of which the batch has another copy, as published or retained: a session delivers both
    when a receiver reconnects."""
    seen = {(outcome.entry.topic, outcome.entry.payload) for outcome in batch if not outcome.entry.retained}
    letters = []
    for outcome in batch:
        message = (outcome.entry.topic, outcome.entry.payload)
        if not outcome.entry.retained or message not in seen:
            letters.append(outcome)
            seen.add(message)
    return letters


def with_content_suffix(letter: DeadLetter) -> DeadLetter:
    """With a digest of the content after the entry's id, for a row whose id another message has in the table."""
    content = hashlib.sha256(repr((letter.topic, letter.payload, letter.payload_raw)).encode())
    return letter._replace(entry_id=f"{letter.entry_id}#{content.hexdigest()[:16]}")


def _readable(payload: bytes) -> tuple[str, bool]:
    """A payload as text, and whether that is the exact bytes."""
    try:
        if "\0" not in (text := payload.decode()):
            return text, True
    except UnicodeDecodeError:
        """Not UTF-8."""
    return payload[:READABLE_MAX].decode(errors="replace").replace("\0", REPLACEMENT), False
