"""A replay that is stopped from another console than the one that runs it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.console import Browser, Console, add_user, running
from tests.support.console_replays import says, some_are_replayed, start
from tests.support.dead_letters import storable_letters, unreplayed
from tests.support.stack import Stack
from tests.support.waiting import eventually

pytestmark = pytest.mark.long  # of `make test-all`


@pytest.fixture
async def other(stack: Stack, tmp_path: Path) -> AsyncIterator[Console]:
    """One with users: rui is an operator, ana a viewer."""
    users = tmp_path / "users.txt"
    add_user(users, "rui", "operator")
    add_user(users, "ana")
    async with running(stack.environment, tmp_path, "--users", str(users)) as other:
        yield other


def logged_in(console: Console, name: str) -> Browser:
    browser = console.browser()
    assert browser.log_in(name).status == 303
    return browser


async def test_it_ends_and_says_who_stopped_it(stack: Stack, console: Console, other: Console) -> None:
    await storable_letters(stack, 60)
    first, second, viewer = console.operator(), logged_in(other, "rui"), logged_in(other, "ana")
    await start(first, rate=1)
    page = second.get("/dead")
    action = page.hidden("action")
    assert "run by another console" in page.text
    assert "Stop" not in viewer.get("/dead").text
    assert viewer.post("/dead/replay/stop", action=action).status == 403
    assert second.post("/dead/replay/stop", action=action).status == 303
    assert "Stopping: asked by rui" in second.get("/dead").text or "stopped by rui" in second.get("/dead").text
    await says(first, "stopped by rui")
    await says(second, "Replay the")
    assert "rui asks to stop the replay" in other.log
    assert "console: rui stops the replay" in console.log
    assert "stopped by rui" in second.get("/audit").text
    assert 0 < await unreplayed(stack) == 60 - await stack.backlog()
    await start(second, go_on=action, rate=500)
    await says(first, "replayed done")
    assert await unreplayed(stack) == 0
    assert await stack.backlog() == 60


async def test_killed_before_it_has_noticed_it_is_interrupted(stack: Stack, console: Console, other: Console) -> None:
    await storable_letters(stack, 60)
    first, second = console.operator(), logged_in(other, "rui")
    await start(first, rate=5)
    await eventually(lambda: some_are_replayed(stack), "some are replayed")
    console.kill()
    second.post("/dead/replay/stop", action=second.get("/dead").hidden("action"))
    assert "Stopping: asked by rui" in second.get("/dead").text
    assert "rui asked to stop it" in second.get("/audit").text
    await stack.execute("UPDATE console_action SET seen_at = now() - interval '1 min' WHERE action = 'replay'")
    left = await unreplayed(stack)
    page = second.get("/dead")
    assert f"{60 - left} of 60 replayed interrupted" in page.text
    await start(second, go_on=await stack.fetchval("SELECT max(id) FROM console_action WHERE action = 'replay'"))
    await says(second, f"Last replay: {left} of {left} replayed done")


async def test_one_that_has_ended_is_not_stopped(stack: Stack, console: Console, other: Console) -> None:
    """The page of a browser may be old: the next replay goes on."""
    await storable_letters(stack, 60)
    first, second = console.operator(), logged_in(other, "rui")
    await start(first, id=1)
    await says(first, "Last replay: 1 of 1 replayed done")
    ended = await stack.fetchval("SELECT max(id) FROM console_action WHERE action = 'replay'")
    await start(first, rate=5)
    for browser in (first, second):
        for action in (ended, "", "x", 10**30):
            assert browser.post("/dead/replay/stop", action=action).status == 303
    assert await stack.fetchval("SELECT count(*) FROM console_action WHERE stop_asked_by IS NOT NULL") == 0
    await says(first, "Last replay: 59 of 59 replayed done")
