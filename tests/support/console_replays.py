"""The steps of a user who replays dead letters in a console."""

from __future__ import annotations

from tests.support.console import Browser
from tests.support.dead_letters import unreplayed
from tests.support.stack import Stack
from tests.support.waiting import eventually


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
