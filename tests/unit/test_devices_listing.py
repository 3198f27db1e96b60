"""What `devices` shows of a device: on a terminal of 80 columns, in a pipe, as JSON."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from traksense_ingest.ops.devices.listing import as_dict, clock, lines, screen
from traksense_ingest.ops.devices.table import Found

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
COUNTS = {"online": 4, "late": 0, "silent": 1, "offline": 0}

SCREEN = """\
4 online, 0 late, 1 silent, 0 offline

tenant  device     site   status  since (UTC)     seen  interval           clock
acme    chiller-7  plant  silent  11-24 09:05  180 min      60 s  180 min behind
acme    new        plant  online  2025-11-24      60 s         –               –
… 3 more devices: --limit"""


def device(name: str, status: str, minutes: int, **more: Any) -> dict[str, Any]:
    seen = NOW - timedelta(minutes=minutes)
    since = seen + timedelta(minutes=5) if status == "silent" else seen
    names = {"tenant_id": "acme", "device_id": name, "site_id": "plant", "status": status}
    learned = {"last_reading": None, "expected_interval_s": None, "skew_s": None}
    return names | {"since": since, "last_seen": seen} | learned | more


FOUND = Found(
    COUNTS,
    [
        device("chiller-7", "silent", 180, expected_interval_s=60.0, skew_s=10_800.0),
        device("new", "online", 1, since=NOW - timedelta(days=365)),
    ],
)


def test_the_screen() -> None:
    console = Console(file=io.StringIO(), width=80, highlight=False)
    console.print(screen(FOUND, NOW, 80))
    assert isinstance(console.file, io.StringIO)
    assert "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) == SCREEN


def test_a_pipe() -> None:
    counts, empty, first, _ = lines(FOUND)
    assert (counts, empty) == (SCREEN.splitlines()[0], "")
    times = ["2026-11-24 09:05:00", "2026-11-24 09:00:00", "–"]
    assert first.split("\t") == ["acme", "chiller-7", "plant", "silent", *times, "60", "10800"]
    assert list(lines(Found(COUNTS, []))) == [counts]


def test_json() -> None:
    report = as_dict(FOUND, NOW)
    assert (report["at"], report["counts"]) == ("2026-11-24T12:00:00.000+00:00", COUNTS)
    assert report["devices"][0]["last_seen"] == "2026-11-24T09:00:00+00:00"


@pytest.mark.parametrize(
    ("skew_s", "text"),
    [(None, "–"), (0.4, "right"), (-0.4, "right"), (90.0, "90 s behind"), (-7200.0, "120 min ahead")],
)
def test_a_clock(skew_s: float | None, text: str) -> None:
    assert clock(skew_s) == text
