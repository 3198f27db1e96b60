"""What a viewer may do with dead letters, and what is kept of logins and actions."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.console_of_dead_letters import Console
from tests.support.dead_letters import TOPIC, dead_letter
from tests.support.stack import Stack
from tests.support.waiting import eventually
from traksense_ingest.ops.console.guard.roles import Role
from traksense_ingest.ops.console.guard.users import User


@pytest.fixture
def users(tmp_path: Path) -> Path:
    path = tmp_path / "users"
    lines = [
        User.with_password("ana", Role.VIEWER, "secret-1").line(),
        User.with_password("rui", Role.OPERATOR, "secret-2").line(),
    ]
    path.write_text("\n".join(lines))
    return path


async def test_a_viewer_exports_and_replays_nothing(stack: Stack, users: Path, tmp_path: Path) -> None:
    await dead_letter(stack, (TOPIC, b"oops"))
    console = Console(stack, tmp_path, CONSOLE_USERS=users)
    try:
        assert (await console.log_in_as("ana", "wrong")).status == 403
        assert (await console.log_in_as("ana", "secret-1")).status == 303
        for path in ("/dead", "/dead/1"):
            page = await console.get(path)
            assert page.status == 200
            assert "/dead/replay" not in page.body
        assert (await console.get("/dead/replay")).status == 403
        assert (await console.post("/dead/replay", page, scope="{}", rate=1)).status == 403
        assert (await console.post("/dead/replay/stop", page)).status == 403
        assert len((await console.get("/dead/export")).body.splitlines()) == 1
        await eventually(lambda: _has(stack, 3), "two logins and an export")
        audit = (await console.get("/audit")).text
        assert "ana (nobody) failed login" in audit
        assert "refused: a wrong password" in audit
        assert "ana (viewer) login" in audit
        assert "ana (viewer) export" in audit
    finally:
        console.kill()


async def _has(stack: Stack, rows: int) -> bool:
    return await stack.count("console_action") == rows
