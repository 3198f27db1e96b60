"""Check 3: what can't be stored is kept, byte for byte, with the reason."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from traksense_ingest.ops.scrape import Samples
from traksense_ingest.ops.validate import sql
from traksense_ingest.ops.validate.diagnosis import diagnosis
from traksense_ingest.ops.validate.probe import Message, Probe, topic_of
from traksense_ingest.ops.validate.report import Finding

DEVICE = "check-3"
COUNTER, CLASS = "ingest_errors_total", "parse_error"
COUNTED_S = 2.0  # the counter rises right after the commit

NOT_JSON = b'{"schema": "v1", "ts": '
NO_TS = json.dumps({"schema": "v1", "points": [{"name": "temperature", "t": "num", "v": 21.5}]}).encode()
WRONG_TYPE = json.dumps(
    {"schema": "v1", "ts": "2024-05-01T12:00:00Z", "points": [{"name": "temperature", "t": "num", "v": "warm"}]}
).encode()
PAYLOADS = (NOT_JSON, NO_TS, WRONG_TYPE)


async def check(probe: Probe) -> Finding:
    """Publish three payloads, each invalid in another way, and find them in ingest_errors."""
    before = await probe.writer.samples()
    await probe.publish_all([Message(DEVICE, payload) for payload in PAYLOADS])
    rows = await probe.poll_until(lambda: _dead_letters(probe), lambda rows: len(rows) >= len(PAYLOADS))
    figures: dict[str, object] = {"rows": len(rows), "reasons": [row["reason"] for row in rows]}
    if wrong := mismatch(rows):
        hint = await diagnosis(probe) if len(rows) < len(PAYLOADS) else ""
        return Finding(False, wrong + hint, figures)
    rise = None if before is None else await _rise(probe, before)
    figures["counted"] = rise
    return _finding(f"{len(rows)} invalid payloads captured, each with its reason", rise, figures)


def mismatch(rows: Sequence[Any]) -> str | None:
    """What is wrong with the dead letters of the three payloads, each a mapping of reason, error_class, payload."""
    if len(rows) != len(PAYLOADS):
        others = ": does a second pipeline write here?" if len(rows) > len(PAYLOADS) else ""
        return f"{len(rows)} rows in ingest_errors, should be {len(PAYLOADS)}{others}"
    if {bytes(row["payload"]) for row in rows} != set(PAYLOADS):
        return "a payload in ingest_errors is not the bytes that were published"
    if len({row["reason"] for row in rows}) != len(PAYLOADS):
        return "the reasons are not distinct: " + ", ".join(row["reason"] for row in rows)
    if classes := {row["error_class"] for row in rows} - {CLASS}:
        return f"error_class should be {CLASS}, is {', '.join(sorted(classes))}"
    return None


def _finding(captured: str, rise: float | None, figures: dict[str, object]) -> Finding:
    counter = f'{COUNTER}{{reason="{CLASS}"}}'
    if rise is None:
        return Finding(True, f"{captured}; writer's metrics not reachable", figures)
    if rise < len(PAYLOADS):
        unseen = f"but {counter} rose by {rise:.0f}; with several writers name each by --writer-metrics"
        return Finding(False, f"{captured}, {unseen}", figures)
    return Finding(True, f"{captured}; {counter} +{rise:.0f}", figures)


async def _dead_letters(probe: Probe) -> list[Any]:
    topic = topic_of(probe.tenant, DEVICE)
    return list(await probe.database.fetch(sql.DEAD_LETTERS, probe.tenant, probe.first_error_id, topic))


async def _rise(probe: Probe, before: Samples) -> float | None:
    async def rise() -> float | None:
        now = await probe.writer.samples()
        return None if now is None else now.value(COUNTER, reason=CLASS) - before.value(COUNTER, reason=CLASS)

    return await probe.poll_until(rise, lambda by: by is None or by >= len(PAYLOADS), COUNTED_S)
