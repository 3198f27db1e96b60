"""A replay that is started with the console, and goes on through all faults: of dead letters that would be stored now,
of a tenant of their own."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import asyncpg

from tests.chaos.console.service import ConsoleService
from tests.chaos.console.visitor import Visitor
from tests.chaos.load import REPLAYED
from tests.support.console import Answer
from tests.support.waiting import eventually
from traksense_ingest.ops.simulate.messages import encode, point, telem_v1

LETTERS = 1000  # at a time; of more, the console asks for the number to be typed
RATE, LAST_RATE = 5.0, 5000.0  # messages/s: through the faults; and what is left at the end
START = datetime(2024, 1, 1, tzinfo=UTC)
_COLUMNS = ("tenant_id", "topic", "payload", "reason", "error_class", "stream", "entry_id", "deliveries", "received_at")
_ALL = "SELECT count(*) FROM ingest_errors WHERE tenant_id = $1"
_LEFT = "SELECT count(*) FROM ingest_errors WHERE tenant_id = $1 AND replayed_at IS NULL"
_ROWS = "SELECT count(*), count(DISTINCT v_num), min(v_num), max(v_num) FROM ts_measure WHERE tenant_id = $1"
_ACTIONS = "SELECT outcome, asked, done FROM console_action WHERE action = 'replay' ORDER BY id"
ENDS = {"done", "interrupted", "stopped by operator"}  # an outage ends none


async def keep_running(visitor: Visitor, connection: asyncpg.Connection, at_least: int = 1) -> None:
    """Replay more of them if fewer are left than these; the ones before are replayed first."""
    if await connection.fetchval(_LEFT, REPLAYED) >= at_least:
        return
    first = await connection.fetchval(_ALL, REPLAYED)
    if first:
        await _says(visitor, "Last replay:", " replayed done ")
    await connection.copy_records_to_table("ingest_errors", records=_letters(first), columns=_COLUMNS)
    await _start(visitor.console, RATE, tenant=REPLAYED)


def _letters(first: int) -> list[tuple[object, ...]]:
    """As a writer that did not know their format has left them."""
    now = datetime.now(UTC)
    return [
        (
            REPLAYED,
            _topic(number),
            _payload(number),
            f"parse_error: points.{number}.v: wrong",
            "parse_error",
            "ingest:{0}",
            f"{number + 1}-9",
            1,
            now,
        )
        for number in range(first, first + LETTERS)
    ]


def _topic(number: int) -> str:
    return f"traksense/{REPLAYED}/site/device-{number % 20}/telem"


def _payload(number: int) -> str:
    body = telem_v1(START + timedelta(seconds=number), [point("p", float(number))], {})
    return encode(body).decode()


async def _start(console: ConsoleService, rate: float, **which: object) -> None:
    """From the dry run to the replay."""

    def click() -> Answer:
        browser = replace(console.browser)
        plan = browser.get("/dead/replay", **which)
        return browser.post("/dead/replay", scope=plan.hidden("scope"), rate=rate)

    answer = await asyncio.to_thread(click)
    assert answer.status == 303, answer.text


async def is_interrupted(visitor: Visitor, connection: asyncpg.Connection, old: dict[str, str]) -> None:
    """After a kill, with the cookies from before: it shows how much is left, and goes on with it on a click."""
    console = visitor.console
    refused = await asyncio.to_thread(replace(console.browser, cookies=old).get, "/")
    if refused.status != 303 or "/login" not in refused.location:
        visitor.note(f"a session from before kill -9 is answered with {refused.status}")
    page = await _says(visitor, "interrupted", "are left …")
    left = int(await connection.fetchval(_LEFT, REPLAYED))
    if f"Replay the {_thousands(left)} that are left" not in page.text:
        visitor.note(f"{left} dead letters of a replay that was interrupted are left, and it shows: {_box(page)}")
    await _go_on(console, page, RATE)
    await _says(visitor, f"of {_thousands(left)}", "Replaying")


async def end(visitor: Visitor) -> None:
    """Stop it, and replay what is left at full speed."""
    browser = replace(visitor.console.browser)
    page = await asyncio.to_thread(browser.get, "/dead")
    if "/dead/replay/stop" in page.body:
        await asyncio.to_thread(browser.post, "/dead/replay/stop", action=page.hidden("action"))
    page = await _says(visitor, "Last replay:")
    if "are left …" in page.text or "that is left" in page.text:
        await _go_on(visitor.console, page, LAST_RATE)
    await _says(visitor, "Last replay:", " replayed done ")


async def check(visitor: Visitor, connection: asyncpg.Connection) -> int:
    """Each of the dead letters is marked, counted, and stored exactly once; returns how many there were."""
    letters, left = [await connection.fetchval(query, REPLAYED) for query in (_ALL, _LEFT)]
    stored = tuple(await connection.fetchrow(_ROWS, REPLAYED))
    if left or stored != (letters, letters, 0, letters - 1):
        visitor.note(f"of {letters} dead letters that were replayed {left} are not marked; stored: {stored}")
    actions = await connection.fetch(_ACTIONS)
    outcomes = [action["outcome"] for action in actions]
    if {*outcomes} - ENDS or outcomes.count("interrupted") != visitor.console.starts - 1:
        visitor.note(f"replays ended with {outcomes}; the console was killed {visitor.console.starts - 1} times")
    if (done := sum(action["done"] for action in actions)) != letters:
        visitor.note(f"the console says that it replayed {done} dead letters, and there were {letters}")
    return int(letters)


async def _go_on(console: ConsoleService, page: Answer, rate: float) -> None:
    links = [link for link in page.links if "go_on=" in link]
    await _start(console, rate, go_on=links[0].partition("go_on=")[2])


async def _says(visitor: Visitor, *texts: str) -> Answer:
    """Wait until `/dead` has all of these texts."""
    last: Answer | None = None

    async def has() -> bool:
        nonlocal last
        last = await visitor.visit("/dead")
        return last is not None and all(text in last.text for text in texts)

    await eventually(has, lambda: f"{texts} in: {_box(last) if last else None}")
    assert last is not None
    return last


def _box(page: Answer) -> str:
    """What the page says of the replay, about."""
    found = re.search(r"(?:Replaying|Last replay|A replay).{0,300}", page.text)
    return found[0] if found else page.text[:300]


def _thousands(count: int) -> str:
    """As the text of a page has it."""
    return f"{count:,}".replace(",", " ")
