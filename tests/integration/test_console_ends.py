"""SIGTERM while the console is at work: what it does with each thing that would take longer than its end may."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import closing
from http.client import HTTPConnection, IncompleteRead
from pathlib import Path

import pytest

from tests.support.console import Browser, Console, running
from tests.support.console_replays import says, some_are_replayed, start
from tests.support.dead_letters import TOPIC, storable_letters, unreplayed
from tests.support.mapping_files import readings
from tests.support.process import EXIT_TIMEOUT_S
from tests.support.stack import Stack
from tests.support.waiting import eventually

pytestmark = pytest.mark.long  # of `make test-all`

ENDLESS = "throw {toString() { for (;;) {} }}"  # which the engine does not interrupt


async def ended(console: Console) -> None:
    """It ends, and well."""
    assert await asyncio.to_thread(console.popen.wait, EXIT_TIMEOUT_S) == 0, console.log
    assert "stopped" in console.log.splitlines()[-1]
    assert "Traceback" not in console.log


async def test_a_trial_is_stopped_and_its_process_is_gone(console: Console, browser: Browser) -> None:
    decode = f"decode: {{js: {{code: '{ENDLESS}'}}}}\n    points"
    text = readings().replace("    points", f"    {decode}")
    trial = asyncio.create_task(asyncio.to_thread(browser.post, "/map", do="try", mapping="text", text=text))
    await eventually(lambda: len(descendants(console.popen.pid)) > 2, "the tracker, the fork server, and the trial")
    started = descendants(console.popen.pid)
    console.popen.terminate()
    assert "it was stopped: the console ends" in (await trial).text
    await ended(console)
    await eventually(lambda: not [pid for pid in started if Path(f"/proc/{pid}").exists()], "no process is left")


async def test_a_browser_that_listens_gets_what_has_come(stack: Stack, console: Console, browser: Browser) -> None:
    listening = asyncio.create_task(asyncio.to_thread(browser.post, "/map", do="listen", topic="boiler/#"))
    await console.says("operator listens to")
    await stack.publish(("boiler/7", b"1"))
    await console.says("operator listens to")
    console.popen.terminate()
    assert " on boiler/#" in (await listening).text
    await ended(console)


async def test_an_export_is_cut_and_recorded(stack: Stack, console: Console, browser: Browser) -> None:
    """Of a browser that reads nothing, so that it can't be complete."""
    await stack.fetch(
        """INSERT INTO ingest_errors (topic, payload, reason, error_class, stream, entry_id, deliveries, received_at)
           SELECT $1, repeat('x', 100000), 'parse_error: x', 'parse_error', 'ingest:{0}', n || '-9', 1, now()
           FROM generate_series(1, 500) AS n""",
        TOPIC,
    )
    with closing(HTTPConnection("127.0.0.1", console.port)) as connection:
        cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
        connection.request("GET", "/dead/export", headers={"cookie": cookie})
        response = connection.getresponse()
        assert response.status == 200
        console.popen.terminate()
        await ended(console)
        with pytest.raises((IncompleteRead, ConnectionError)):
            await asyncio.to_thread(response.read)
    (row,) = await stack.fetch("SELECT * FROM console_action WHERE action = 'export'")
    assert (row["asked"], row["outcome"]) == (500, "cut by the end of the console")
    assert 0 < row["done"] < 500
    assert "GET /dead/export was cut by the end of the console" in console.log


async def test_a_replay_stops_after_its_batch_and_can_go_on(stack: Stack, tmp_path: Path, console: Console) -> None:
    await storable_letters(stack, 60)
    await start(await asyncio.to_thread(console.operator), rate=5)
    await eventually(lambda: some_are_replayed(stack), "some are replayed")
    console.popen.terminate()
    await ended(console)
    left = await unreplayed(stack)
    assert 0 < left == 60 - await stack.backlog()
    async with running(stack.environment, tmp_path) as another:
        browser = another.operator()
        page = await says(browser, f"Replay the {left} that are left …")
        assert "stopped by the end of the console" in page
        await start(browser, go_on=await stack.fetchval("SELECT max(id) FROM console_action WHERE action = 'replay'"))
        await says(browser, f"Last replay: {left} of {left} replayed done")
    assert await stack.backlog() == 60


async def test_servers_that_hang_do_not_delay_it(stack: Stack, console: Console) -> None:
    """A replay, its heartbeat, and a page wait for a Redis that does not answer."""
    await storable_letters(stack, 60)
    browser = await asyncio.to_thread(console.operator)
    await start(browser, rate=5)
    await eventually(lambda: some_are_replayed(stack), "some are replayed")
    redis = stack.redis_server.pid
    assert redis
    os.kill(redis, signal.SIGSTOP)
    try:
        console.popen.terminate()
        assert await asyncio.to_thread(console.popen.wait, EXIT_TIMEOUT_S) == 0, console.log
    finally:
        os.kill(redis, signal.SIGCONT)


def descendants(pid: int) -> list[int]:
    """The processes that a process has started, and those have started."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(child) for child in task.read_text().split()]
        except OSError:
            continue
        for child in children:
            found += [child, *descendants(child)]
    return found
