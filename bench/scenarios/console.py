"""Console: how long a user waits for each page with 100 000 dead letters and 10 000 devices; what an open tab costs.

Each round starts a console, asks for each page once, then again some times. Compared with the time that PostgreSQL
alone takes to count what two of the pages are about, and with the commands that print the same.
"""

from __future__ import annotations

import asyncio
import sys
import time
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from functools import partial
from statistics import median
from typing import NamedTuple

from bench.browser import Browser, Loaded
from bench.figure import Figure, Reading, at_most
from bench.inventory import RARE, WITH_ROWS, Inventory, dead_letter_ids
from bench.measured import spent
from bench.process import peak_mib
from bench.scenario import Impossible, Plan, Scenario, Step
from bench.stage import START_S, Stage, started
from traksense_ingest.ops.console.packages import MISSING, are_installed
from traksense_ingest.ops.embedded import free_port
from traksense_ingest.ops.up.processes import ConsolePages

INVENTORY = Inventory(dead_letters=100_000, devices=10_000, rows=8_640, actions=10_000, entries=10_000)
AGAIN = 10  # requests for a page after its first
TABS = {"": 4, "/": 4, "/dead": 10}  # seconds that it is open, in which it asks at least once; "": no tab is open
REPEATED = 5  # a reference
FIRST, MEDIAN, SLOWEST, SIZE = "first", "median", "slowest", "size"
PAGE_MS = 500

# The least that a page of dead letters by reason, and a page of devices by status, can ask for.
_REFERENCES = {
    "/dead": "SELECT reason_group, count(*) FROM ingest_errors GROUP BY reason_group",
    "/devices": "SELECT status, count(*) FROM device_status GROUP BY status",
}
_COMMANDS = {"dlq list": ("dlq", "list"), "devices": ("devices",)}


class Page(NamedTuple):
    """A page, and a text that only it has."""

    name: str
    path: str
    shows: str


async def steps(stage: Stage, plan: Plan) -> AsyncIterator[Step]:
    """The pages, then open tabs."""
    if not are_installed():
        raise Impossible(MISSING)
    await stage.clear()
    await Inventory(*(plan.scaled(size) for size in INVENTORY)).fill(stage)
    await stage.settle_down()
    yield partial(_pages, stage, await _all_pages(stage), plan.scaled(AGAIN))
    yield partial(_tabs, stage, {path: plan.scaled(seconds) for path, seconds in TABS.items()})


def conclude(figures: Sequence[Figure]) -> list[Reading]:
    """The page that takes longest."""
    return [
        Reading(f"all: {what}", max(figure.median for figure in figures if figure.name.endswith(f": {what}")), "ms")
        for what in (FIRST, MEDIAN)
    ]


async def _all_pages(stage: Stage) -> list[Page]:
    oldest, newest = await dead_letter_ids(stage)
    return [
        Page("/", "/", "ingest:{0}"),
        Page("/dead", "/dead", f'id="letter-{newest}"'),
        Page("/dead?text=", "/dead?text=Finite+number", "a finite number"),
        Page("/dead/{id}", f"/dead/{newest}", "schema"),
        Page("/dead/{id}, of a rare reason", f"/dead/{oldest}", RARE),
        Page("/devices", "/devices", "device1"),
        Page("/devices?status=silent", "/devices?status=silent", "silent"),
        Page("/devices/one", f"/devices/one?tenant=tenant0&device={WITH_ROWS}", "p9"),
        Page("/streams/0", "/streams/0", "traksense/tenant0"),
        Page("/map", "/map", "Playground"),
        Page("/audit", "/audit", "login"),
    ]


async def _pages(stage: Stage, pages: Sequence[Page], again: int) -> Sequence[Reading]:
    """In a new console, then the references."""
    console, since, readings = _console(stage), time.perf_counter(), []
    async with started(console):
        readings.append(Reading("start", time.perf_counter() - since, "s"))
        browser = await asyncio.to_thread(Browser, console.url)
        for page in pages:
            loaded = [await asyncio.to_thread(browser.load, page.path, page.shows) for _ in range(1 + again)]
            readings += _readings(page.name, loaded)
        files = [await asyncio.to_thread(browser.load, path) for path in loaded[0].files]
        readings += [
            Reading("style sheet, script and icon", sum(file.size for file in files) / 1024, "KiB"),
            Reading("memory of console", peak_mib(console.pid or 0), "MiB"),
        ]
    return [*readings, *await _references(stage, {reading.name: reading.value for reading in readings})]


def _readings(name: str, loaded: Sequence[Loaded]) -> list[Reading]:
    first, *again = (each.seconds * 1000 for each in loaded)
    return [
        Reading(f"{name}: {FIRST}", first, "ms"),
        Reading(f"{name}: {MEDIAN}", median(again), "ms"),
        Reading(f"{name}: {SLOWEST}", max(again), "ms"),
        Reading(f"{name}: {SIZE}", loaded[0].size / 1024, "KiB"),
    ]


async def _references(stage: Stage, values: Mapping[str, float]) -> list[Reading]:
    readings = []
    for name, query in _REFERENCES.items():
        took = median([await _timed(stage.database.fetch(query)) for _ in range(REPEATED)])
        readings += [
            Reading(f"{name}, the count alone", took, "ms"),
            Reading(f"{name}: {MEDIAN}, of the count alone", values[f"{name}: {MEDIAN}"] / took, "×"),
        ]
    return readings + [
        Reading(f"`{name}`, the command", await _timed(_run(stage, arguments)), "ms")
        for name, arguments in _COMMANDS.items()
    ]


async def _tabs(stage: Stage, tabs: Mapping[str, int]) -> Sequence[Reading]:
    """How much of a core the console and the servers take, once it has shown each page."""
    console, readings = _console(stage), []
    async with started(console):
        browser = await asyncio.to_thread(Browser, console.url)
        for path in filter(None, tabs):
            await asyncio.to_thread(browser.load, path)
        for path, seconds in tabs.items():
            before, since = stage.cpu(console=[console]), time.perf_counter()
            await (browser.keep_open(path, seconds) if path else asyncio.sleep(seconds))
            took, cpu = time.perf_counter() - since, spent(before, stage.cpu(console=[console]), "broker")
            name = f"a tab on {path}" if path else "no tab"
            readings += [Reading(f"{name}, CPU of {role}", 100 * cpu[role] / took, "%") for role in cpu]
    return readings


def _console(stage: Stage) -> ConsolePages:
    console = ConsolePages(stage.directory / f"console-{time.time_ns()}", free_port(), stage.environment({}))
    console.start_timeout = START_S
    return console


async def _run(stage: Stage, arguments: Sequence[str]) -> None:
    command = [sys.executable, "-m", "traksense_ingest.ops", *arguments]
    process = await asyncio.create_subprocess_exec(*command, stdout=DEVNULL, env=stage.environment({}))
    assert await process.wait() == 0


async def _timed(work: Awaitable[object]) -> float:
    """Milliseconds."""
    since = time.perf_counter()
    await work
    return 1000 * (time.perf_counter() - since)


CONSOLE = Scenario(
    "console",
    steps,
    targets={f"all: {what}": at_most(PAGE_MS) for what in (FIRST, MEDIAN)},
    conclude=conclude,
)
