"""The console's page `/`: true while all is well, through outages, and with a full stream."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.console import Browser, running
from tests.support.stack import Stack, telem
from tests.support.waiting import eventually
from traksense_ingest.shared.streams import heartbeat
from traksense_ingest.shared.streams.heartbeat import Receiver, Wait, Writer

pytest.importorskip("starlette")


async def shows(browser: Browser, is_shown: Callable[[str], bool]) -> str:
    """The page's text as soon as it is so."""
    text = ""

    async def found() -> bool:
        nonlocal text
        answer = await asyncio.to_thread(browser.get, "/")
        assert answer.status == 200, answer.body
        text = answer.text
        return is_shown(text)

    await eventually(found, lambda: f"shown:\n{text}")
    return text


async def test_all_stages_with_their_figures(stack: Stack, tmp_path: Path) -> None:
    await stack.receiver(MQTT_CLIENT_ID="edge-0")
    await stack.writer()
    await stack.publish(*(telem(second=second) for second in range(20)), ("traksense/t/s/dev/telem", b"poison"))
    await stack.has_rows("ts_measure", 20)
    async with running(stack.environment, tmp_path) as console:
        browser = console.operator()
        text = await shows(browser, lambda text: "No problems" in text and "Broker connected" in text)
        assert (
            "21 added = 20 stored + 1 dead-lettered + 0 ignored + 0 accepted as lost + 0 in the streams balances"
            in text
        )
        for stage in ("Receivers 1 running", "Streams empty", "Writers 1 running", "Database answers", "edge-0 up"):
            assert stage in text
        await stack.publish(*(telem(device="now", second=second) for second in range(5)))
        await shows(browser, lambda text: "26 added = 25 stored" in text)
        page = browser.get("/").body
        assert 'href="/streams/0">ingest:{0}</a>' in page
        assert re.search(r'role="img" aria-label="Messages/s, in and out, the last 5 minutes\. in: now \d', page)


@pytest.mark.long
async def test_the_database_is_stopped_and_comes_back(stack: Stack, tmp_path: Path) -> None:
    await stack.receiver()
    await stack.writer()
    async with running(stack.environment, tmp_path) as console:
        browser = console.operator()
        await shows(browser, lambda text: "No problems" in text and "Database answers" in text)
        await stack.refuse_connections()
        await stack.publish(*(telem(second=second) for second in range(7)))
        outage = re.compile(r"The database has been unreachable for \d+ m?s: nothing is lost, 7 entries wait")
        text = await shows(browser, lambda text: bool(outage.search(text)))
        assert "Database unreachable for " in text
        assert re.search(r"writer \S+ has waited for \d+ m?s: ", text)
        assert (
            "7 added = 0 stored + 0 dead-lettered + 0 ignored + 0 accepted as lost + 7 in the streams balances" in text
        )
        await stack.allow_connections()
        text = await shows(browser, lambda text: "No problems" in text and "7 added = 7 stored" in text)
        assert "unreachable" not in text


async def test_a_full_stream_and_nobody_who_empties_it(stack: Stack, tmp_path: Path) -> None:
    await stack.receiver(INGEST_QUEUE_MAX=5)
    publishing = asyncio.create_task(stack.publish(*(telem(second=second) for second in range(20))))
    async with running(stack.environment | {"INGEST_QUEUE_MAX": "5"}, tmp_path) as console:
        browser = console.operator()
        full = "ingest:{0} is full: nothing is lost, receivers wait, and the broker keeps the messages."
        text = await shows(browser, lambda text: full in text and "1 receiver waits for room in a full stream" in text)
        assert "Writers none running" in text
        assert "No writer is running." in text
        assert "a stream is full: the broker keeps the messages" in text
        await stack.writer()
        await publishing
        await shows(browser, lambda text: "20 added = 20 stored" in text and "No problems" in text)


@pytest.mark.long
async def test_without_redis_it_goes_on(stack: Stack, tmp_path: Path) -> None:
    async with running(stack.environment, tmp_path) as console:
        browser = console.operator()
        text = await shows(browser, lambda text: "No receiver is running" in text)
        assert "Broker not known: no receiver" in text
        stack.redis_server.stop()
        outage = re.compile(r"Redis has been unreachable for \d+ m?s: receivers acknowledge nothing")
        text = await shows(browser, lambda text: bool(outage.search(text)))
        for unknown in ("Broker not known without Redis", "Writers not known without Redis", "Database answers"):
            assert unknown in text
        assert "added" not in text
        stack.redis_server.start()
        await shows(browser, lambda text: "0 added = 0 stored" in text)


async def test_what_others_wrote_is_text(stack: Stack, tmp_path: Path) -> None:
    """Any client of Redis may write a heartbeat."""
    hostile = "<script>alert(1)</script>\"'\x1b[2J\u202e"
    await heartbeat.register(stack.clients, Receiver(client_id=hostile, waits=[Wait("redis", hostile, 9.0)]))
    await heartbeat.register_writer(
        stack.clients,
        Writer(name=hostile, reload_error=hostile, mappings={hostile: hostile}, rows_per_s=12.5, p99_s=0.5),
    )
    async with running(stack.environment, tmp_path) as console:
        browser = console.operator()
        text = await shows(browser, lambda text: "12 500 ms" in text.replace("12 – ", "12 "))
        assert text.count("<script>alert(1)</script>\"'\\x1b[2J\\u202e") >= 5
        page = browser.get("/").body
        assert page.count("<script") == 1
        assert not {"\x1b", "\u202e"} & set(page)
