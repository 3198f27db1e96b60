"""`simulate --format`: what it says it has published is what is stored."""

from __future__ import annotations

import json

from tests.support.stack import Stack
from tests.support.waiting import eventually

MAPPINGS = "khomp,chirpstack?tenant=fleet,tasmota?tenant=fleet&tz=UTC"


async def test_what_is_simulated_is_what_is_stored(stack: Stack) -> None:
    await stack.receiver(INGEST_MAPPINGS=MAPPINGS)
    await stack.writer(INGEST_MAPPINGS=MAPPINGS)
    fleet = ("--format", "khomp,chirpstack,tasmota", "--devices", "12", "--tenant", "fleet")
    pace = ("--messages", "300", "--rate", "1000", "--no-progress", "--json")
    done = await stack.command("simulate", *fleet, *pace, INGEST_MAPPINGS=MAPPINGS)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["published"] == 300
    await eventually(lambda: is_stored(stack, report["expected_rows"]["ts_measure"]), "all rows")
    compared, rejected = report["sql"]
    assert all(row["stored"] == row["expected"] for row in await stack.fetch(compared))
    assert await stack.fetch(rejected) == []
    devices = await stack.fetch("SELECT tenant_id, count(*) FROM device GROUP BY tenant_id")
    assert [tuple(row) for row in devices] == [("fleet", 12)]


async def is_stored(stack: Stack, rows: int) -> bool:
    return await stack.count("ts_measure") == rows and await stack.backlog() == 0
