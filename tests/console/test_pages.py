"""Each page that the console has: it shows something, to everybody, and breaks no rule of its own policy."""

from __future__ import annotations

import pytest
from playwright.async_api import BrowserContext, expect

from tests.console.browser import AXE, NARROW, WIDE, Chromium, is_live, scrolls_sideways, violations
from tests.console.conftest import log_in
from tests.support.console import Console
from tests.support.pages import NAMES, opened_pages


async def test_each_page_is_there_and_nothing_is_complained_of(operator: BrowserContext, browser: Chromium) -> None:
    page = await operator.new_page()
    for path in opened_pages():
        answer = await page.goto(path)
        assert answer is not None
        assert answer.status == 200, path
        await expect(page.locator("h1")).to_have_count(1)
        await expect(page.locator("#verdict")).not_to_be_empty()
        await expect(page.locator("nav a[aria-current=page]")).to_have_count(1)
        if await page.locator("body").get_attribute("data-refresh"):
            await is_live(page)
            before = await page.locator("#clock").inner_text()
            await expect(page.locator("#clock")).not_to_have_text(before)
    assert browser.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
async def test_everybody_can_read_it(browser: Chromium, console: Console, scheme: str, size: dict[str, int]) -> None:
    """axe-core finds no violation, and a narrow window does not scroll sideways."""
    if not AXE.exists():
        pytest.skip("not installed here: axe-core (npm install --prefix tests/support/node)")
    context = await browser.context(base_url=console.base_url, color_scheme=scheme, viewport=size)
    page = await context.new_page()
    await page.goto("/login")
    assert await violations(page) == []
    await log_in(context, console)
    found = {}
    for path in [*opened_pages(), "/nowhere"]:
        await page.goto(path)
        found[path] = await violations(page), await scrolls_sideways(page)
    assert found == dict.fromkeys(found, ([], False))
    assert [each for each in browser.complaints if "404" not in each] == []


async def test_all_of_it_works_without_javascript(browser: Chromium, console: Console) -> None:
    context = await browser.context(base_url=console.base_url, java_script_enabled=False)
    await log_in(context, console)
    page = await context.new_page()
    for path in opened_pages():
        await page.goto(path)
        await expect(page.locator("h1")).to_be_visible()
        await expect(page.locator("#live")).to_have_text("not live: reload to update")
    await page.locator(".who button").click()
    await expect(page.locator("h1")).to_have_text("Log in")


async def test_the_keyboard_alone_reaches_each_page(operator: BrowserContext) -> None:
    page = await operator.new_page()
    await page.goto("/")
    await page.keyboard.press("Tab")
    await expect(page.locator(".skip")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("#main")).to_be_focused()
    await page.goto("/")  # without #main, behind which the next Tab would begin
    for path in [*(path for path in opened_pages() if path != "/"), "/"]:
        await page.reload()
        link = page.locator(f'nav a[href="{path}"]')
        for _ in range(2 + len(NAMES)):
            await page.keyboard.press("Tab")
            if await link.evaluate("(link) => link === document.activeElement"):
                break
        await expect(link).to_be_focused()
        outline = await link.evaluate("(link) => getComputedStyle(link).outlineStyle")
        assert outline != "none", "the focus can be seen"
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"**{path}")


async def test_eight_tabs_are_all_live(operator: BrowserContext) -> None:
    """Answers that stay open would block a browser's seventh tab."""
    pages = [await operator.new_page() for _ in range(8)]
    for page in pages:
        await page.goto("/")
    for page in pages:
        await page.bring_to_front()
        await is_live(page)
        before = await page.locator("#clock").inner_text()
        await expect(page.locator("#clock")).not_to_have_text(before)
