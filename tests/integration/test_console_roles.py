"""What a viewer may do with dead letters, and what is kept of logins and actions."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.console import add_user, running
from tests.support.dead_letters import TOPIC, dead_letter
from tests.support.stack import Stack
from tests.support.waiting import eventually

pytestmark = pytest.mark.long  # of `make test-all`


async def test_a_viewer_exports_and_replays_nothing(stack: Stack, tmp_path: Path) -> None:
    users = tmp_path / "users"
    add_user(users, "ana")
    await dead_letter(stack, (TOPIC, b"oops"))
    async with running(stack.environment, tmp_path, "--users", str(users)) as console:
        browser = console.browser()
        assert browser.log_in("ana", "wrong").status == 403
        assert browser.log_in("ana").status == 303
        for path in ("/dead", "/dead/1"):
            page = browser.get(path)
            assert page.status == 200
            assert "/dead/replay" not in page.body
        assert browser.get("/dead/replay").status == 403
        assert browser.post("/dead/replay", scope="{}", rate=1).status == 403
        assert browser.post("/dead/replay/stop").status == 403
        assert len(browser.get("/dead/export").body.splitlines()) == 1
        await eventually(lambda: _has(stack, 3), "two logins and an export")
        audit = browser.get("/audit").text
        assert "ana (nobody) failed login" in audit
        assert "refused: a wrong password" in audit
        assert "ana (viewer) login" in audit
        assert "ana (viewer) export" in audit


async def _has(stack: Stack, rows: int) -> bool:
    return await stack.count("console_action") == rows
