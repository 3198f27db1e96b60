"""Dead letters that a console replays, and the steps of a user who replays them."""

from __future__ import annotations

from tests.support.console import Browser
from tests.support.dead_letters import unreplayed
from tests.support.stack import Stack, telem
from tests.support.waiting import eventually


async def letters(stack: Stack, count: int) -> None:
    """Rows of messages that would be stored now, as a writer that did not know their format has left them."""
    await stack.fetch(
        """INSERT INTO ingest_errors
               (tenant_id, topic, payload, reason, error_class, stream, entry_id, deliveries, received_at)
           SELECT 't', $2, replace($3, '15:30:00', to_char(timestamp '2025-10-07' + number * interval '1 s', $4)),
               'parse_error: points.' || number || '.v: wrong', 'parse_error', 'ingest:{0}', number || '-9', 1, now()
           FROM generate_series(1, $1::integer) AS number""",
        count,
        telem()[0],
        telem()[1].decode(),
        "HH24:MI:SS",
    )


async def start(browser: Browser, rate: object = 500, **which: object) -> None:
    """From the dry run to the replay."""
    plan = browser.get("/dead/replay", **which)
    answer = browser.post("/dead/replay", scope=plan.hidden("scope"), rate=rate)
    assert answer.status == 303, answer.text


async def says(browser: Browser, text: str, path: str = "/dead") -> str:
    """Wait until a page has this text."""
    seen = ""

    async def has() -> bool:
        nonlocal seen
        seen = browser.get(path).text
        return text in seen

    await eventually(has, lambda: f"{text!r} in: {seen}")
    return seen


async def some_are_replayed(stack: Stack) -> bool:
    """Of 60."""
    return await unreplayed(stack) < 57
