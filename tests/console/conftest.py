"""A pipeline with a simulated fleet, a console, and a browser that is logged in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import BrowserContext

from tests.console.browser import CHROMIUM, Chromium, chromium
from tests.support.console import Console, running
from tests.support.program import Program
from tests.support.stack import Stack
from tests.support.waiting import eventually

DEVICES = 20


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of them take their time, and need Chromium."""
    here = [item for item in items if Path(__file__).parent in item.path.parents]
    for item in here:
        item.add_marker(pytest.mark.long)
        if not CHROMIUM.exists():
            item.add_marker(pytest.mark.skip(reason=f"not installed here: {CHROMIUM} (Debian's package chromium)"))


@pytest.fixture
async def fleet(stack: Stack, tmp_path: Path) -> AsyncIterator[Stack]:
    """A pipeline that stores what devices send at this moment; some of it is bad."""
    await stack.receiver()
    await stack.writer()
    words = ["--devices", str(DEVICES), "--rate", str(DEVICES), "--bad", "0.05", "--seed", "7", "--no-progress"]
    with (tmp_path / "simulator.log").open("wb") as log:
        simulator = Program("ops", "simulate", *words, environment=stack.environment, stdout=log)
    await eventually(lambda: _has(stack, "ingest_errors", 3))
    await eventually(lambda: _has(stack, "device", DEVICES))
    yield stack
    simulator.kill()
    simulator.wait()


async def _has(stack: Stack, table: str, rows: int) -> bool:
    return await stack.count(table) >= rows


@pytest.fixture
async def console(fleet: Stack, tmp_path: Path) -> AsyncIterator[Console]:
    async with running(fleet.environment, tmp_path) as console:
        yield console


@pytest.fixture
async def browser() -> AsyncIterator[Chromium]:
    async with chromium() as browser:
        yield browser


@pytest.fixture
async def operator(browser: Chromium, console: Console) -> BrowserContext:
    """A browser that has opened the link."""
    context = await browser.context(base_url=console.base_url)
    await log_in(context, console)
    return context


async def log_in(context: BrowserContext, console: Console) -> None:
    """With the newest link."""
    page = await context.new_page()
    answer = await page.goto(console.links[-1])
    assert answer is not None
    assert answer.ok, await page.content()
    await page.close()
