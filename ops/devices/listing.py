"""What `devices` shows: how many devices of each status, and a line for each; once, or again and again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from traksense_ingest.ops.devices.table import Found, Selection, find, open_view
from traksense_ingest.ops.output import Output
from traksense_ingest.ops.terminal import at, duration, gap, number, printable
from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.errors import IngestError
from traksense_ingest.shared.runtime.service import EXIT_MISCONFIGURED, unless_stopped

COLOURS = {"online": "green", "late": "yellow", "silent": "red", "offline": "red"}
LONG_AGO = timedelta(days=300)
RIGHT_S = 1.0  # a clock that is off by less is right


def list_devices(settings: Settings, selection: Selection, limit: int, watch_s: float | None, *, as_json: bool) -> None:
    """The command. Raises IngestError; with `watch_s` only where the configuration is wrong."""
    if watch_s is None:
        found = asyncio.run(_read(settings, selection, limit))
        OUTPUT.once(found, as_json=as_json)
    else:
        asyncio.run(_show_always(settings, selection, limit, watch_s, as_json=as_json))


async def _read(settings: Settings, selection: Selection, limit: int) -> Found:
    async with open_view(settings.database_url) as connection:
        return await find(connection, selection, limit)


async def _show_always(settings: Settings, selection: Selection, limit: int, watch_s: float, *, as_json: bool) -> None:
    """Until Ctrl-C or SIGTERM; an outage is one line on stderr each time."""
    stop = asyncio.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    with OUTPUT.again_and_again(as_json=as_json) as show:
        while not stop.is_set():
            try:
                if found := await unless_stopped(stop, _read(settings, selection, limit)):
                    show(found)
            except IngestError as error:
                if error.exit_code == EXIT_MISCONFIGURED:
                    raise
                print(error, file=sys.stderr, flush=True)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), watch_s)


def as_dict(found: Found, now: datetime) -> dict[str, Any]:
    """For JSON: times as RFC 3339."""
    devices = [
        {name: value.isoformat() if isinstance(value, datetime) else value for name, value in device.items()}
        for device in found.devices
    ]
    return {"at": now.isoformat(timespec="milliseconds"), "counts": found.counts, "devices": devices}


def lines(found: Found) -> Iterator[str]:
    """For a pipe: the counts, an empty line, and the devices with their columns separated by tabs."""
    yield in_words(found.counts)
    if found.devices:
        yield ""
    for device in found.devices:
        names = (printable(device[name]) for name in ("tenant_id", "device_id", "site_id"))
        times = (at(device[name]) for name in ("since", "last_seen", "last_reading"))
        seconds = ("–" if device[name] is None else f"{device[name]:g}" for name in ("expected_interval_s", "skew_s"))
        yield "\t".join((*names, device["status"], *times, *seconds))


def screen(found: Found, now: datetime, width: int) -> Group:
    """For a terminal: the counts, the devices, and how many more there are."""
    shown: list[RenderableType] = [Text(in_words(found.counts))]
    if found.devices:
        shown += [Text(), _table(found, now, width)]
    if found.devices and (others := sum(found.counts.values()) - len(found.devices)) > 0:
        shown.append(Text(f"… {number(others, 'more device')}: --limit", style="dim"))
    return Group(*shown)


def in_words(counts: Mapping[str, int]) -> str:
    """`120 online, 3 late, 2 silent, 1 offline`."""
    return ", ".join(f"{count} {status}" for status, count in counts.items())


def _table(found: Found, now: datetime, width: int) -> Table:
    made = Table(box=None, padding=(0, gap(width), 0, 0), pad_edge=False, header_style="bold")
    for heading in ("tenant", "device", "site"):
        made.add_column(heading, overflow="fold")
    made.add_column("status", no_wrap=True)
    made.add_column("since (UTC)", no_wrap=True)
    for heading in ("seen", "interval", "clock"):
        made.add_column(heading, justify="right", no_wrap=True)
    for device in found.devices:
        made.add_row(
            *(Text(printable(device[name])) for name in ("tenant_id", "device_id", "site_id")),
            Text(device["status"], style=COLOURS[device["status"]]),
            _day(device["since"], now),
            duration(max(0.0, (now - device["last_seen"]).total_seconds())),
            duration(device["expected_interval_s"]),
            clock(device["skew_s"]),
        )
    return made


def _day(moment: datetime | None, now: datetime) -> str:
    """In UTC: day and minute, and of what is long ago the date."""
    if moment is None:
        return "–"
    return f"{moment.astimezone(UTC):%Y-%m-%d}" if now - moment > LONG_AGO else f"{moment.astimezone(UTC):%m-%d %H:%M}"


def clock(skew_s: float | None) -> str:
    """`right`, `180 min behind`, `20 min ahead`; a clock that is behind makes a message seem to come late."""
    if skew_s is None:
        return "–"
    if abs(skew_s) < RIGHT_S:
        return "right"
    return f"{duration(abs(skew_s))} {'behind' if skew_s > 0 else 'ahead'}"


OUTPUT: Output[Found] = Output(
    lambda found: json.dumps(as_dict(found, datetime.now(UTC)), ensure_ascii=False),
    lambda found: "\n".join(lines(found)),
    lambda found, width, _: screen(found, datetime.now(UTC), width),
)
