"""A page that stays open while something is down: it says so, and is right again by itself."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.async_api import BrowserContext, Page, expect

from tests.console.browser import is_live
from tests.console.conftest import log_in
from tests.support.console import Console, running
from tests.support.stack import Stack

CLOCK = re.compile(r"the console does not answer; what you see is from \d\d:\d\d:\d\d")


async def opened(operator: BrowserContext) -> Page:
    page = await operator.new_page()
    await page.goto("/")
    await is_live(page)
    await page.evaluate("() => { window.isTheSame = true; }")
    return page


async def is_the_same(page: Page) -> bool:
    return bool(await page.evaluate("() => window.isTheSame === true"))


async def test_the_database_is_down_and_back(operator: BrowserContext, fleet: Stack) -> None:
    page = await opened(operator)
    verdict = page.locator("#verdict")
    await expect(verdict).to_have_class(re.compile(r"\bgood\b"))
    await fleet.refuse_connections()
    await expect(verdict).to_contain_text("database")
    await expect(verdict).to_have_class(re.compile(r"\b(bad|warning)\b"))
    await is_live(page)
    await fleet.allow_connections()
    await expect(verdict).to_have_class(re.compile(r"\bgood\b"))
    assert await is_the_same(page), "without loading it again"


async def test_a_console_that_is_gone_is_no_live_page(
    operator: BrowserContext, console: Console, fleet: Stack, tmp_path: Path
) -> None:
    page = await opened(operator)
    shown = await page.locator("#main").inner_html()
    console.kill()
    await expect(page.locator("#live")).to_have_text(CLOCK)
    assert len(await page.locator("#main").inner_html()) > len(shown) / 2, "what was there is still there"
    async with running(fleet.environment, tmp_path, "--port", str(console.port)) as again:
        await expect(page.locator("#live")).to_have_text("logged out: reload this page to log in")
        await log_in(operator, again)
        await is_live(page)
    assert await is_the_same(page)
