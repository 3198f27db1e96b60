"""A rejected entry as a row of ingest_errors: readable text, and the exact bytes where text can't hold them."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from writer.outcome import Rejected

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
READABLE_MAX = 65_536  # bytes that are shown of what text can't hold: replaced, 256 MiB would be too large for a row


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
        entry.id,
        min(entry.deliveries, 2**31 - 1),
    )


def renamed(letter: DeadLetter) -> DeadLetter:
    """With the content's digest behind the entry's id, for one whose id another message has had."""
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
