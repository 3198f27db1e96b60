"""`traksense-ingest devices`, the line of `status` and the metric, on devices of every status."""

from __future__ import annotations

import json
import re
import signal
from datetime import datetime
from pathlib import Path

import pytest

from tests.support.program import Program
from tests.support.stack import Stack
from tests.support.waiting import eventually

pytestmark = pytest.mark.long  # of `make test-all`

DEVICES = """
INSERT INTO device (tenant_id, device_id, site_id, first_seen, last_seen, online_since, interval_s, skew_s)
SELECT tenant, device, 'plant', now() - interval '9 days', now() - ago, now() - interval '8 days', 600, skew
FROM (VALUES
    ('acme', 'chiller', interval '10 s', 0.2), ('acme', 'freezer', interval '30 min', 10800),
    ('acme', 'valve', interval '2 h', NULL), ('acme', 'gateway', interval '3 h', -90),
    (E'b\\x1b', 'pump', interval '1 d', 5)
) AS one (tenant, device, ago, skew)
"""
LAST_WILL = """
INSERT INTO device_event (tenant_id, device_id, event_id, event_type, ts, data)
VALUES ('acme', 'gateway', 'w', 'state', now() - interval '3 h', '{"online": false}')
"""


@pytest.fixture
async def filled(stack: Stack) -> Stack:
    await stack.execute(DEVICES)
    await stack.execute(LAST_WILL)
    return stack


async def devices(stack: Stack, *options: str) -> list[str]:
    found = await stack.command("devices", "--json", *options)
    assert (found.returncode, found.stderr) == (0, "")
    return [device["device_id"] for device in json.loads(found.stdout)["devices"]]


async def test_what_needs_somebody_comes_first(filled: Stack) -> None:
    assert await devices(filled) == ["valve", "pump", "gateway", "freezer", "chiller"]
    assert await devices(filled, "--silent") == ["valve", "pump"]
    assert await devices(filled, "--silent", "--status", "offline", "--tenant", "acme") == ["valve", "gateway"]
    assert await devices(filled, "--tenant", "nobody") == []
    assert await devices(filled, "--skewed") == ["freezer", "gateway"], "the furthest off first"
    assert await devices(filled, "--skewed", "100") == ["freezer"]
    assert await devices(filled, "--limit", "1") == ["valve"]


async def test_as_json_it_is_all_that_is_known(filled: Stack) -> None:
    report = json.loads((await filled.command("devices", "--tenant", "acme", "--status", "late", "--json")).stdout)
    assert report["counts"] == {"online": 0, "late": 1, "silent": 0, "offline": 0}
    (device,) = report["devices"]
    times = {name: datetime.fromisoformat(device.pop(name)) for name in ("since", "last_seen")}
    assert (times["since"] - times["last_seen"]).total_seconds() == 1260
    assert device == {
        "tenant_id": "acme",
        "device_id": "freezer",
        "site_id": "plant",
        "status": "late",
        "last_reading": None,
        "expected_interval_s": 600.0,
        "skew_s": 10800.0,
    }


async def test_in_a_pipe_a_device_is_a_line(filled: Stack) -> None:
    output = (await filled.command("devices")).stdout
    counts, empty, first, second, *_ = output.splitlines()
    assert (counts, empty) == ("1 online, 1 late, 2 silent, 1 offline", "")
    columns = first.split("\t")
    assert columns[:4] == ["acme", "valve", "plant", "silent"]
    assert columns[6:] == ["–", "600", "–"]
    assert second.startswith("b\\x1b\tpump\t"), "a name can not move the cursor"


async def test_a_database_without_the_view_is_one_line(stack: Stack) -> None:
    await stack.execute("DROP VIEW device_status CASCADE")
    found = await stack.command("devices")
    assert (found.returncode, found.stdout, found.stderr.count("\n")) == (2, "", 1)
    assert "there is no view device_status; run `traksense-ingest migrate`" in found.stderr
    assert json.loads((await stack.status("--json", "--skip", "broker")).stdout)["devices"] is None


async def test_an_unreachable_database_is_one_line(stack: Stack) -> None:
    found = await stack.command("devices", DATABASE_URL="postgresql://u:secret@127.0.0.1:1/d")
    assert (found.returncode, found.stdout, found.stderr.count("\n")) == (1, "", 1)
    assert "DATABASE_URL=" in found.stderr
    assert "secret" not in found.stderr


async def test_status_counts_them(filled: Stack) -> None:
    assert "devices: 1 online, 1 late, 2 silent, 1 offline" in (await filled.status()).stdout.splitlines()
    report = json.loads((await filled.status("--json")).stdout)
    assert report["devices"] == {"online": 1, "late": 1, "silent": 2, "offline": 1}


async def test_a_writer_counts_them_by_tenant(filled: Stack) -> None:
    await filled.execute(
        """INSERT INTO device (tenant_id, device_id, site_id, first_seen, last_seen)
        SELECT 'x' || lpad((n / 3)::text, 3, '0'), n::text, 's', now(), now() FROM generate_series(3, 329) AS n"""
    )
    writer = await filled.writer()
    await writer.counts("ingest_devices", 3, tenant="x001", status="online")
    assert writer.metric("ingest_devices", tenant="x001", status="silent") == 0
    assert writer.metric("ingest_devices", tenant="acme", status="offline") == 1
    assert writer.metric("ingest_devices", tenant="other", status="online") == 3 * 10, "99 have a label of their own"
    assert writer.metric("ingest_devices", tenant="other", status="silent") == 1
    _, page = writer.get("/metrics")
    assert sum(line.startswith("ingest_devices{") for line in page.splitlines()) == 101 * 4


@pytest.mark.parametrize("options", [(), ("--json",)])
async def test_watching_repeats_until_it_is_stopped(filled: Stack, tmp_path: Path, options: tuple[str, ...]) -> None:
    output = tmp_path / "output"
    words = ("devices", "--watch", "0.1", "--silent", *options)
    with output.open("wb") as file:
        program = Program("ops", *words, environment=filled.addresses, stdout=file)
    await eventually(lambda: output.read_text().count("valve") >= 2, "it repeats")
    await filled.execute("UPDATE device SET last_seen = now() WHERE device_id = 'pump'")
    await eventually(lambda: re.search('1 silent|"silent": 1', output.read_text()), "it shows what changes")
    program.send_signal(signal.SIGINT)
    assert program.wait(30) == 0
    assert "Traceback" not in output.read_text()
