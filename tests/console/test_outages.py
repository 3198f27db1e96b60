"""A page that stays open while something is down: it says so, and is right again by itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.async_api import BrowserContext, Page, expect

from tests.console.browser import is_live
from tests.console.conftest import log_in
from tests.support.console import Console, running
from tests.support.stack import Stack

BAD_GATEWAY = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
HEADINGS = {"/dead": "Dead letters", "/devices": "Devices"}
# Everything that #live says from now on.
OBSERVE = """
() => {
  const live = document.getElementById("live");
  window.said = [];
  new MutationObserver(() => window.said.push(live.textContent)).observe(live, { childList: true });
}"""
BAD_GATEWAY = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
CLOCK = re.compile(r"the console does not answer; what you see is from \d\d:\d\d:\d\d")


async def opened(operator: BrowserContext, path: str = "/") -> Page:
    page = await operator.new_page()
    await page.goto(path)
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


@pytest.mark.parametrize(("path", "table"), [("/dead", "ingest_errors"), ("/devices", "device")])
async def test_a_database_that_hangs_is_no_console_that_does_not_answer(
    operator: BrowserContext, fleet: Stack, path: str, table: str
) -> None:
    page = await opened(operator, path)
    await page.evaluate(OBSERVE)
    async with fleet.locked(table, "ACCESS EXCLUSIVE"):
        await expect(page.locator("#main")).to_contain_text("no answer")
    await expect(page.locator("h1")).to_have_text(HEADINGS[path])
    assert await page.evaluate("() => window.said") == [], "it was live all the time"


async def test_a_proxy_that_does_not_reach_the_console_is_no_live_page(operator: BrowserContext) -> None:
    page = await opened(operator)
    shown = await page.locator("h1").inner_text()
    await page.route("**/*", lambda route: route.fulfill(status=502, content_type="text/html", body=BAD_GATEWAY))
    await expect(page.locator("#live")).to_have_text(CLOCK)
    await expect(page.locator("h1")).to_have_text(shown)
    await page.unroute("**/*")
    await is_live(page)


async def test_the_title_is_that_of_the_page_again(operator: BrowserContext, fleet: Stack) -> None:
    async with fleet.locked("device", "ACCESS EXCLUSIVE"):
        page = await operator.new_page()
        await page.goto("/devices")
        await expect(page).to_have_title(re.compile("Can't be shown now"))
    await expect(page).to_have_title(re.compile("Devices"))


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
