"""A rejected entry as a row of ingest_errors: readable text, and the exact bytes where text can't hold them."""

from __future__ import annotations

from typing import NamedTuple

from writer.outcome import Rejected

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


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


def dead_letter_row(rejected: Rejected) -> DeadLetter:
    """The row; every text in it is one that PostgreSQL takes."""
    entry = rejected.entry
    payload = entry.payload or b""
    readable = _readable(payload)
    return DeadLetter(
        rejected.tenant_id,
        (entry.topic or b"").decode(errors="backslashreplace").replace("\0", r"\x00"),
        readable,
        None if readable.encode() == payload else payload,
        rejected.reason.encode(errors="replace").decode().replace("\0", REPLACEMENT),
        rejected.error_class,
        rejected.sqlstate,
        entry.stream,
        entry.id,
        min(entry.deliveries, 2**31 - 1),
    )


def _readable(payload: bytes) -> str:
    return payload.decode(errors="replace").replace("\0", REPLACEMENT)
