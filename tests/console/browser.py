"""Chromium, and what it complains of."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import BrowserContext, ConsoleMessage, Page, async_playwright, expect

from tests.support.waiting import TIMEOUT_S

CHROMIUM = Path("/usr/bin/chromium")
AXE = Path(__file__).parents[1] / "support" / "node" / "node_modules" / "axe-core" / "axe.min.js"
WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 390, "height": 844}

# What the policy of the page refuses is said on the browser's console, too, but not by all versions.
REPORT = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy: ${event.violatedDirective} refuses ${event.blockedURI} at ${event.sourceFile}`));
"""
RUN_AXE = (
    "async () => (await axe.run(document)).violations.map((each) => [each.id, each.nodes.map((node) => node.html)])"
)

expect.set_options(timeout=TIMEOUT_S * 1000)


def sandbox() -> list[str]:
    """Chromium's own needs another user than root."""
    return ["--no-sandbox"] if os.getuid() == 0 else []


class Chromium:
    """Contexts of it; `complaints` has every error that a page or the browser's policy has said."""

    def __init__(self, browser: Any) -> None:
        self._browser = browser
        self.complaints: list[str] = []

    async def context(self, **options: Any) -> BrowserContext:
        """A new one, with no cookies: dark, narrow, without JavaScript as playwright's options say."""
        context: BrowserContext = await self._browser.new_context(**{"viewport": WIDE} | options)
        context.set_default_timeout(TIMEOUT_S * 1000)
        await context.add_init_script(REPORT)
        context.on("console", self._note)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        return context

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.text} ({message.location})")


@asynccontextmanager
async def chromium() -> AsyncIterator[Chromium]:
    """Debian's, without a window."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=sandbox())
        yield Chromium(browser)
        await browser.close()


async def violations(page: Page) -> list[Any]:
    """What axe-core finds: rules, and the elements that break them."""
    await page.evaluate(AXE.read_text())
    found: list[Any] = await page.evaluate(RUN_AXE)
    return found


async def is_live(page: Page) -> None:
    """Wait until it has fetched itself again."""
    await expect(page.locator("#live")).to_have_text("live")


async def scrolls_sideways(page: Page) -> bool:
    """Whether something is wider than the window."""
    return bool(await page.evaluate("() => document.documentElement.scrollWidth > window.innerWidth"))
