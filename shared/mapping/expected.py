"""A mapping's tests, parsed: a message and what it must become."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

Row = Mapping[str, Any]
LATER = datetime(2099, 12, 31, tzinfo=UTC)  # when a test's message is received, if it doesn't say: no time is after it


@dataclass(frozen=True, slots=True)
class Message:
    """What is published."""

    topic: str
    payload: bytes
    received: datetime
    retained: bool = False


@dataclass(frozen=True, slots=True)
class Test:
    """The message, those before it, and what is expected of the last one. None: nothing is said about it.

    In `rows`, `events`: what a row leaves out of tenant, site, device, ts (and meta) is as in the one above.
    """

    __test__ = False  # not one of pytest's

    name: str
    line: int
    message: Message
    before: tuple[Message, ...] = ()
    rows: tuple[Row, ...] | None = None  # tenant, site, device, point, ts, v_num, v_bool, v_text, unit, meta
    ack: Row | None = None  # tenant, site, device, cmd_id, ok, ts_exec, err
    cmd: Row | None = None  # tenant, device, cmd_id, cmd, sent_at
    events: tuple[Row, ...] | None = None  # tenant, site, device, event_id, event_type, ts, data
    state: Row | None = None  # tenant, site, device, online, reason, ts
    meta: Row | None = None  # of the device
    poison: str | None = None  # which the reason contains
    ignored: bool = False
    route: str | None = None  # the name of the route that takes it
