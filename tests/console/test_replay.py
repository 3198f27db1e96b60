"""A replay, clicked from the group of its dead letters to stored rows."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import BrowserContext, Page, expect

from tests.console.browser import Chromium, is_live
from tests.console.conftest import log_in
from tests.support.console import running
from tests.support.dead_letters import TOPIC, storable_letters, unreplayed
from tests.support.mapping_files import TOPIC as MAPPED_TOPIC
from tests.support.mapping_files import Folder, reading, readings
from tests.support.stack import Stack

MAPPED, BROKEN, MANY = 30, 3, 1200  # dead letters
CAP = 1000  # of the stream: half of it is for the devices
# The text of #replay at each change, from now on.
OBSERVE = """
() => {
  window.shown = [];
  window.isTheSame = true;
  const note = () => window.shown.push(document.getElementById("replay").innerText);
  const all = { childList: true, subtree: true, characterData: true, attributes: true };
  new MutationObserver(note).observe(document.getElementById("main"), all);
}"""


@asynccontextmanager
async def opened(stack: Stack, browser: Chromium, directory: Path, **variables: str) -> AsyncIterator[BrowserContext]:
    """A browser that is logged in to a console with these variables."""
    async with running(stack.environment | variables, directory) as console:
        context = await browser.context(base_url=console.base_url)
        await log_in(context, console)
        yield context


async def audit_of_replays(context: BrowserContext) -> list[str]:
    """The rows of `/audit` about replays, the newest first."""
    page = await context.new_page()
    await page.goto("/audit")
    return await page.locator("#main tbody tr").filter(has_text="replay").all_inner_texts()


async def bar(page: Page) -> tuple[str | None, str | None]:
    """How far it is, and where it ends."""
    progress = page.locator("#replay progress")
    return await progress.get_attribute("value"), await progress.get_attribute("max")


async def test_a_group_is_replayed_once_its_mapping_is_there(stack: Stack, browser: Chromium, tmp_path: Path) -> None:
    """Dead letters of two reasons: a mapping that was missing, and payloads that stay wrong."""
    await stack.receiver(MQTT_TOPICS="traksense/#,readings/#")
    writer = await stack.writer()
    sent = [(MAPPED_TOPIC, reading(second, second)) for second in range(MAPPED)]
    await stack.publish(*sent, *((TOPIC, b"oops %d" % number) for number in range(BROKEN)))
    await stack.has_rows("ingest_errors", MAPPED + BROKEN)
    assert writer.stop() == 0
    folder = Folder(tmp_path / "mappings")
    folder.put(readings())
    await stack.writer(INGEST_MAPPINGS=folder)
    async with opened(stack, browser, tmp_path, INGEST_MAPPINGS=str(folder)) as operator:
        page = await operator.new_page()
        await page.goto("/dead")
        await page.get_by_role("link", name="Would they be stored now?").first.click()
        await expect(page.locator("#trial")).to_have_text(f"would be stored now: {MAPPED} of the newest {MAPPED}")
        await page.get_by_role("link", name="invalid_topic").first.click()
        await page.get_by_role("link", name=f"Replay all {MAPPED} that match").click()
        await expect(page.locator("h1")).to_have_text(f"Replay {MAPPED} dead letters?")
        await expect(page.locator("tr", has_text="would be stored")).to_contain_text(str(MAPPED))
        assert await unreplayed(stack) == MAPPED + BROKEN, "a dry run changes nothing"
        await page.get_by_label("Rate limit").fill("10")
        await page.get_by_role("button", name=f"Replay {MAPPED}").click()
        await page.wait_for_url("**/dead")
        await page.evaluate(OBSERVE)
        await expect(page.locator("#replay h2")).to_have_text(f"Last replay: {MAPPED} of {MAPPED} replayed")
        await expect(page.locator("#replay .state")).to_have_text("done")
        await expect(page.locator(".actions")).to_contain_text(f"{MAPPED} of them replayed")
        await is_live(page)
        assert await page.evaluate("() => window.isTheSame"), "without loading it again"
        assert re.search(rf"Replaying \d+ of {MAPPED}", "".join(await page.evaluate("() => window.shown")))
        await stack.has_rows("ts_measure", MAPPED)
        assert {row["v_num"] for row in await stack.fetch("SELECT v_num FROM ts_measure")} == {*range(MAPPED)}
        assert (
            await stack.fetch(
                "SELECT id FROM ingest_errors WHERE (topic = $1) <> (replayed_at IS NOT NULL)", MAPPED_TOPIC
            )
            == []
        )
        (row,) = await audit_of_replays(operator)
        assert re.search(
            rf"operator \(operator\)\s+replay\s+reason: invalid_topic.*\s{MAPPED}\s+{MAPPED}\s.*done", row
        ), row
    assert browser.complaints == []


async def test_more_than_a_thousand_while_the_page_is_closed(stack: Stack, browser: Chromium, tmp_path: Path) -> None:
    """Without a writer it stops in the middle, at half of the stream's cap."""
    await storable_letters(stack, MANY)
    async with opened(stack, browser, tmp_path, INGEST_QUEUE_MAX=str(CAP)) as operator:
        page = await operator.new_page()
        await page.goto("/dead")
        await page.get_by_role("link", name="Replay all").click()
        number, start = page.get_by_label("type their number"), page.get_by_role("button", name="Replay 1")
        await expect(page.locator("label", has=number)).to_contain_text(f"To confirm, type their number: {MANY}")
        await start.click()
        assert await number.evaluate("(field) => field.validity.valueMissing"), "the browser does not send it"
        await number.fill(str(MANY - 1))
        await start.click()
        refusal = page.get_by_role("alert")
        await expect(refusal).to_have_text(f"To confirm, type their number: {MANY}. Nothing was started.")
        assert (await unreplayed(stack), await stack.backlog()) == (MANY, 0)
        await page.get_by_label("type their number").fill(str(MANY))
        await page.get_by_role("button", name="Replay 1").click()
        waits = "half of INGEST_QUEUE_MAX is left to the devices: waiting for the writers"
        await expect(page.locator("#replay")).to_contain_text(waits)
        await page.close()
        page = await operator.new_page()
        await page.goto("/dead")
        await expect(page.locator("#replay h2")).to_contain_text("Replaying")
        assert await bar(page) == (str(CAP // 2), str(MANY))
        await page.evaluate(OBSERVE)
        await stack.writer()
        await expect(page.locator("#replay h2")).to_have_text("Last replay: 1\u202f200 of 1\u202f200 replayed")
        await expect(page.locator("#replay .state")).to_have_text("done")
        assert await page.evaluate("() => window.isTheSame"), "without loading it again"
        await stack.has_rows("ts_measure", MANY)
        assert await unreplayed(stack) == 0
        (row,) = await audit_of_replays(operator)
        assert re.search(r"operator \(operator\)\s+replay\s.*1\u202f200\s+1\u202f200\s.*done", row), row
    assert [each for each in browser.complaints if "400" not in each] == []
