"""Entries as a test writes them, and what the writer's decoder makes of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import cache
from typing import Any

from traksense_ingest.shared.mapping.load import load
from traksense_ingest.shared.mapping.mappings import Mappings
from traksense_ingest.writer.decode.decode import Clock, utc_now
from traksense_ingest.writer.decode.mapped.aliases import Aliases
from traksense_ingest.writer.decode.mapped.routes import MappedRoutes
from traksense_ingest.writer.entry import Entry, parse_entry
from traksense_ingest.writer.outcome import Decoded, Rejected

NOW = datetime(2025, 10, 7, 16, 0, tzinfo=UTC)
TS = "2025-10-07T15:30:00Z"


def v1_routes(max_payload_bytes: int, max_future_s: int, clock: Clock = utc_now) -> MappedRoutes:
    """What a writer without INGEST_MAPPINGS decodes with."""
    return MappedRoutes(
        _shipped(), max_payload_bytes=max_payload_bytes, max_future_s=max_future_s, clock=clock, aliases=Aliases()
    )


@cache
def _shipped() -> Mappings:
    return load()


DECODER = v1_routes(max_payload_bytes=10_000, max_future_s=86_400, clock=lambda: NOW)


def entry(payload: bytes | str, kind: str = "telem", device: str = "dev") -> Entry:
    raw = payload if isinstance(payload, bytes) else payload.encode()
    topic = f"traksense/t/site/{device}/{kind}".encode()
    return parse_entry(
        "ingest:{0}", b"1759851000000-7", [b"topic", topic, b"payload", raw, b"received_at", b"1759851000123"]
    )


def v1(*points: dict[str, Any], ts: object = TS, **more: object) -> str:
    return json.dumps({"schema": "v1", "ts": ts, "points": points} | more)


def decoded(payload: bytes | str, kind: str = "telem") -> Decoded:
    outcome = DECODER.decode(entry(payload, kind))
    assert isinstance(outcome, Decoded), outcome
    return outcome


def reason(payload: bytes | str, kind: str = "telem") -> str:
    outcome = DECODER.decode(entry(payload, kind))
    assert isinstance(outcome, Rejected), outcome
    assert outcome.reason.startswith(outcome.error_class + ": ")
    return outcome.reason
