"""Check 2: what is published is in the database, each value in its column and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from traksense_ingest.ops.validate import sql
from traksense_ingest.ops.validate.diagnosis import diagnosis
from traksense_ingest.ops.validate.probe import Message, Probe, Problem, Value, telemetry
from traksense_ingest.ops.validate.report import Finding

DEVICE = "check-2"
MESSAGES = 40

Columns = tuple[float | None, bool | None, str | None]  # v_num, v_bool, v_text
Rows = Mapping[tuple[datetime, str], Columns]  # by ts and point


async def check(probe: Probe) -> Finding:
    """Publish numbers, booleans and texts, and read them back."""
    messages, expected = _messages(probe.started)
    await probe.publish_all(messages)
    count = await probe.poll_until(lambda: probe.count_rows(DEVICE), lambda count: count >= len(expected))
    figures = {"rows": count, "expected": len(expected)}
    if count < len(expected):
        missing = f"{count} of {len(expected)} rows arrived within {probe.options.timeout:g} s"
        await _note_problem(probe)
        return Finding(False, missing + await diagnosis(probe), figures)
    if wrong := difference(expected, await _read_back(probe)):
        return Finding(False, f"read back something else: {wrong}", figures)
    return Finding(True, f"{count} rows inserted and read back", figures)


def difference(expected: Rows, found: Rows) -> str | None:
    """The first row that is not as expected, for a person; None when all are."""
    for key in sorted(expected.keys() | found.keys()):
        if expected.get(key) != found.get(key):
            ts, point = key
            return f"{point} at {ts.isoformat()} is {found.get(key)}, should be {expected.get(key)}"
    return None


def _messages(start: datetime) -> tuple[list[Message], Rows]:
    messages: list[Message] = []
    rows: dict[tuple[datetime, str], Columns] = {}
    for number in range(MESSAGES):
        ts = start + timedelta(microseconds=number)
        values: list[tuple[str, str, Value]] = [
            ("number", "num", number + 0.25),
            ("flag", "bool", number % 2 == 0),
            ("text", "text", f"№ {number}"),
        ]
        messages.append(telemetry(DEVICE, ts, values))
        rows[ts, "number"] = (number + 0.25, None, None)
        rows[ts, "flag"] = (None, number % 2 == 0, None)
        rows[ts, "text"] = (None, None, f"№ {number}")
    return messages, rows


async def _read_back(probe: Probe) -> Rows:
    rows = await probe.database.fetch(sql.ROWS, probe.tenant, DEVICE, probe.started)
    return {(row["ts"], row["point_id"]): (row["v_num"], row["v_bool"], row["v_text"]) for row in rows}


async def _note_problem(probe: Probe) -> None:
    """If no message arrives, the later checks would only publish more of them."""
    if await probe.count_messages() == 0:
        probe.problems.append(Problem(2, "", "no message arrives"))
