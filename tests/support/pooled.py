"""Work through a pooler, and the settings of its modes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

from tests.support.pgbouncer import Pgbouncer
from tests.support.stack import telem
from traksense_ingest.shared.database import connect

MODES = ("session", "transaction")


def mode(name: str, **settings: str) -> dict[str, str]:
    """Settings of pgbouncer."""
    return {"pool_mode": name, **settings}


def messages(count: int) -> Iterator[tuple[str, bytes]]:
    """Points, ACKs and events, so that each statement of the writer is needed."""
    ts = "2025-10-07T15:30:00Z"
    for number in range(count):
        yield telem(f"dev{number % 7}", number, points=3)
        if number % 5 == 0:
            ack = {"schema": "v1", "cmd_id": f"c{number}", "ok": True, "ts_exec": ts}
            event = {"schema": "v1", "event_id": f"e{number}", "event_type": "door", "ts": ts}
            yield "traksense/t/site/dev/ack", json.dumps(ack).encode()
            yield "traksense/t/site/dev/event", json.dumps(event).encode()


@asynccontextmanager
async def pooled(pooler: Pgbouncer) -> AsyncIterator[Any]:
    """A connection through it."""
    connection = await connect(pooler.url)
    try:
        yield connection
    finally:
        connection.terminate()
