"""Who gets into the console: with a link, with a password, and not at all."""

from __future__ import annotations

from pathlib import Path

from tests.support.console import add_user, running
from tests.support.stack import Stack


async def test_a_link_opens_it_once(stack: Stack, tmp_path: Path) -> None:
    async with running(stack.environment, tmp_path) as console:
        console.operator()
        used = console.links[0]
        await console.says("another browser")
        assert console.links[-1] != used
        assert console.browser().get(used.partition(str(console.port))[2]).status == 403
        console.operator()


async def test_a_user_logs_in_with_a_password(stack: Stack, tmp_path: Path) -> None:
    users = tmp_path / "users.txt"
    add_user(users, "ana")
    async with running(stack.environment, tmp_path, "--users", str(users)) as console:
        browser = console.browser()
        assert browser.log_in("ana", "wrong").status == 403
        assert browser.log_in("ana").status == 303
        assert "ana" in browser.get("/").body
