"""What a message's paths and templates start from, and what it may still use up."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from traksense_ingest.writer.decode.measures import Reading
from traksense_ingest.writer.entry import Entry
from traksense_ingest.writer.outcome import Poison

ROWS_MAX = 200_000  # of one message
VALUES_MAX = 2_000_000  # that its `records`, `each` and `leaves` go through: a payload of 1 MiB has half a million
BYTES_MAX = 64 * 1024 * 1024  # of the JSON and the texts that its rows repeat

Captures = dict[str, str]
Get = Callable[[Any, "Scope"], Any]  # from the item that is nearest; MISSING where there is nothing


class Missing:
    """Nothing is at a path."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing()


class Wrong(ValueError):
    """A value that a route can't take. `below` is where it is, from the path that led to it."""

    reason = "parse_error"

    def __init__(self, what: str, below: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.below = below


class Scope:
    """One message while it is decoded: its document, the record of it that is at work, and the captures."""

    # What most messages never change stands here once. (Slots would have to be filled for each message.)
    who: tuple[str, str, str] | None = None  # tenant, site and device of the record
    device_ts: datetime | None = None  # the newest timestamp that a device gave
    groups: dict[datetime, dict[str, Reading]] = {}  # noqa: RUF012  (replaced, never changed) of points with own times
    is_online = True  # false where a state says that the device is not
    repeated = 0  # readings that only say what another one of the message says
    same_point = 0  # readings that were dropped, since their point has another one
    last_time: Any = ...  # a value that was parsed as a time last, by which rule, and what it is
    last_moment: Any = None
    last_ts: datetime | None = None
    own_times = 0  # readings with a time of their own
    rows_left = ROWS_MAX
    values_left = VALUES_MAX
    size_left = BYTES_MAX

    def __init__(self, entry: Entry, message: Any, captures: Captures) -> None:
        self.entry = entry
        self.message = message
        self.record = message
        self.captures = captures

    def visit(self, count: int) -> None:
        """Count values that are gone through; raises Poison where a message has too many. A path from the message in a
        record would otherwise make work that grows with the square of a payload."""
        self.values_left -= count
        if self.values_left < 0:
            raise Poison("payload_too_large", "payload", f"more than {VALUES_MAX} values, counted for each point")

    def take_rows(self, count: int) -> None:
        """Count rows."""
        self.rows_left -= count
        if self.rows_left < 0:
            raise Poison("payload_too_large", "payload", f"more than {ROWS_MAX} rows")

    def take_size(self, size: int, where: str) -> None:
        """Count bytes that rows repeat."""
        self.size_left -= size
        if self.size_left < 0:
            raise Poison("payload_too_large", where, f"more than {BYTES_MAX} characters in all rows")

    def again(self, reading: Reading, first: Reading) -> None:
        """Count a reading of a point that has one already: nothing is lost by one that says the same."""
        if reading == first:
            self.repeated += 1
        else:
            self.same_point += 1
