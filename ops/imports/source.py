"""What an import reads: messages in an order that never changes, each at a position of its own."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol

from traksense_ingest.shared.errors import ConfigurationError

EXAMPLES = 10  # invalid messages that are named
EARLIEST_MS, LATEST_MS = 946_684_800_000, 253_402_214_400_000  # 2000-01-01 and 9999-12-31

_SHORT = re.compile(r"[!-~]{1,100}")


class Message(NamedTuple):
    """One message, exactly as it was received."""

    position: str  # in its source; never empty
    topic: str
    payload: bytes
    received_ms: int | None  # since the epoch; None: the source does not say it


class Invalid(NamedTuple):
    """What is at a position instead of a message, and why it is none."""

    position: str
    reason: str


class Survey(NamedTuple):
    """What a source holds when an import begins."""

    messages: int
    invalid: int
    examples: Sequence[Invalid]  # the first ones
    last: str  # the position at which this run ends; "" if there is nothing


class Unreadable(ConfigurationError):
    """A file or a table can't be read."""


class Source(Protocol):
    """A file or a table. All methods raise Unreadable, and that of a table what asyncpg raises."""

    @property
    def id(self) -> str:
        """The same whenever the source is the same; known once `survey` has been called."""

    @property
    def name(self) -> str:
        """For people."""

    async def survey(self) -> Survey:
        """Read all of it once."""

    async def take(self, after: str, up_to: str, limit: int) -> Sequence[Message | Invalid]:
        """The next ones behind a position ("" is the beginning), at most `limit` and BATCH_BYTES of payloads, one at
        least; nothing behind `up_to`."""

    async def in_order(self, positions: Collection[str]) -> list[str]:
        """Positions, the first one first."""

    def place(self, position: str) -> str:
        """Where that is, for people."""


def import_id(source: Source, position: str) -> str:
    """What identifies a message, however often it is imported: `import:`, the source, and the position.

    Its dead letter, if it becomes one, has it as its `entry_id`.
    """
    place = position if _SHORT.fullmatch(position) else hashlib.sha256(position.encode()).hexdigest()[:32]
    return f"import:{source.id}:{place}"


def digest(*parts: object) -> str:
    """A short name for what these are."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
