"""The pictures of docs/console.md and README.md: `pytest tests/console/test_pictures.py --rewrite` makes them."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.console.browser import NARROW, WIDE, Chromium, is_live
from tests.console.conftest import log_in
from tests.support.console import Console
from tests.support.handbook import DOCS
from tests.support.pages import NAMES, opened_pages
from tests.support.waiting import pause

LARGEST = 200_000  # bytes
CHART_S = 30.0  # until the charts show a curve
PICTURES = {path: DOCS / f"console-{name}.png" for path, name in NAMES.items()}


async def test_they_show_the_pages(request: pytest.FixtureRequest, browser: Chromium, console: Console) -> None:
    if not request.config.getoption("--rewrite"):
        pytest.skip("only with --rewrite")
    context = await browser.context(base_url=console.base_url)
    await log_in(context, console)
    page = await context.new_page()
    await page.goto("/")
    await is_live(page)
    await pause(CHART_S)
    for path in opened_pages():
        await page.goto(path)
        await expect(page.locator("h1")).to_be_visible()
        await page.screenshot(path=PICTURES[path], clip={"x": 0, "y": 0, "width": 1280, "height": 800})
        assert PICTURES[path].stat().st_size < LARGEST, path
    for path, name, options in (
        ("/", "dark", {"color_scheme": "dark", "viewport": WIDE}),
        ("/", "narrow", {"color_scheme": "light", "viewport": NARROW}),
    ):
        context = await browser.context(base_url=console.base_url, **options)
        await log_in(context, console)
        page = await context.new_page()
        await page.goto(path)
        await page.screenshot(path=DOCS / f"console-{name}.png")
