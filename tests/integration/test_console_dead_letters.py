"""The console's dead letters: found, shown, tried and replayed, on real servers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.support.console import Browser, Console, running
from tests.support.console_replays import says, some_are_replayed, start
from tests.support.dead_letters import TOPIC, dead_letter, in_process, storable_letters, unreplayed
from tests.support.mapping_files import Folder, readings
from tests.support.stack import Stack
from tests.support.streams import entries
from tests.support.waiting import eventually

pytestmark = pytest.mark.long  # of `make test-all`

HOSTILE = "<script>alert('1')</script>\"\x1b[31m\u202e"


async def test_a_replay_from_its_group_to_stored_rows(stack: Stack, console: Console, browser: Browser) -> None:
    await storable_letters(stack, 40)
    await dead_letter(stack, (TOPIC, b"oops"))
    page = browser.get("/dead")
    assert "41 dead letters, 0 of them replayed" in page.text
    group = "parse_error: points.….v: wrong"
    assert f"{group} Would they be stored now? 40 0 1 1" in page.text
    assert "40 in the last 24 hours" in page.body
    assert "would be stored now: 40 of the newest 40" in browser.get("/dead", forecast=group).text
    narrowed = browser.get("/dead", group=group)
    assert "Replay all 40 that match" in narrowed.text
    plan = browser.get("/dead/replay", group=group)
    assert "would be stored 40 1 row of ts_measure" in plan.text
    assert (await unreplayed(stack), await stack.backlog()) == (41, 0), "a dry run changes nothing"
    await start(browser, group=group)
    await says(browser, "Last replay: 40 of 40 replayed done")
    await stack.writer()
    await stack.has_rows("ts_measure", 40)
    assert await unreplayed(stack) == 1
    audit = browser.get("/audit").text
    assert "operator (operator) replay reason: parse_error: points.….v: wrong; up to id: 41; at 500/s 40 40" in audit
    assert "login" in audit
    assert "console: operator: replay of 40 dead letters" in console.log
    assert "has ended: done; 40 dead letters replayed" in console.log


async def test_killed_in_the_middle_it_can_go_on(stack: Stack, tmp_path: Path) -> None:
    await storable_letters(stack, 60)
    async with running(stack.environment, tmp_path) as console:
        browser = console.operator()
        await start(browser, rate=10)
        await eventually(lambda: some_are_replayed(stack), "some are replayed")
        other = browser.get("/dead/replay")
        answer = browser.post("/dead/replay", scope=other.hidden("scope"), rate=10)
        assert "only one can run at a time" in answer.text
        console.kill()
    left = await unreplayed(stack)
    assert 0 < left < 60
    await stack.execute("UPDATE console_action SET seen_at = now() - interval '1 min' WHERE action = 'replay'")
    async with running(stack.environment, tmp_path) as console:
        browser = console.operator()
        page = await says(browser, f"Replay the {left} that are left …")
        assert f"Last replay: {60 - left} of 60 replayed interrupted" in page
        id_ = await stack.fetchval("SELECT max(id) FROM console_action WHERE action = 'replay'")
        await start(browser, go_on=id_)
        await says(browser, f"Last replay: {left} of {left} replayed done")
    topics = [fields[b"payload"] for fields in await entries(stack)]
    assert len(topics) - len({*topics}) <= 2, "at most the batch that was under way was appended twice"
    await stack.writer()
    await stack.has_rows("ts_measure", 60)


async def test_stopped_and_at_the_end_of_the_console(stack: Stack, tmp_path: Path) -> None:
    await storable_letters(stack, 60)
    async with running(stack.environment, tmp_path) as console:
        browser = console.operator()
        await start(browser, rate=5)
        await eventually(lambda: some_are_replayed(stack), "some are replayed")
        browser.post("/dead/replay/stop", action=browser.get("/dead").hidden("action"))
        await says(browser, "stopped by operator")
        await start(browser, rate=5)
        assert console.stop() == 0
    (row,) = await stack.fetch("SELECT * FROM console_action WHERE action = 'replay' ORDER BY id DESC LIMIT 1")
    assert row["outcome"] == "stopped by the end of the console"
    assert await stack.fetchval("SELECT sum(done) FROM console_action") == 60 - await unreplayed(stack)
    assert await stack.backlog() == 60 - await unreplayed(stack)


async def test_more_than_a_thousand_are_typed(stack: Stack, browser: Browser) -> None:
    await storable_letters(stack, 1001)
    plan = browser.get("/dead/replay")
    assert "To confirm, type their number: 1001" in plan.text
    assert "A dry run of the newest 1 000" in plan.text or "for which the time was enough" in plan.text
    scope = plan.hidden("scope")
    for typed in ("", "1000", "x"):
        refused = browser.post("/dead/replay", scope=scope, rate=500, typed=typed)
        assert (refused.status, "Nothing was started" in refused.text) == (400, True)
    for rate in ("0", "nan", "x", "1e9", ""):
        assert browser.post("/dead/replay", scope=scope, rate=rate, typed=1001).status == 400
    for other in ("", "{}", "[]", '{"selection": {"tenants": 1}, "before": null, "rate": 1}'):
        assert browser.post("/dead/replay", scope=other, rate=1, typed=1001).status == 400
    assert await stack.backlog() == 0
    assert browser.post("/dead/replay", scope=scope, rate=50000, typed="1 001").status == 303
    await says(browser, "Last replay: 1 001 of 1 001 replayed done")


async def test_an_outage_of_the_database_is_waited_for(stack: Stack, browser: Browser) -> None:
    await storable_letters(stack, 30)
    await start(browser, rate=5)
    await stack.refuse_connections()
    assert browser.get("/dead").status == 503
    await says(browser, "A replay is waiting DATABASE_URL=")
    await stack.allow_connections()
    await says(browser, "Last replay: 30 of 30 replayed done")
    await stack.writer()
    await stack.has_rows("ts_measure", 30)


async def test_an_outage_of_redis_is_waited_for(stack: Stack, browser: Browser) -> None:
    await storable_letters(stack, 30)
    await start(browser, rate=5)
    stack.redis_server.stop()
    await says(browser, "Waiting: REDIS_URL=")
    assert await unreplayed(stack) > 0
    stack.redis_server.start()
    await says(browser, "Last replay: 30 of 30 replayed done")
    await stack.writer()
    await stack.has_rows("ts_measure", 30)


async def test_what_devices_send_is_text(stack: Stack, browser: Browser) -> None:
    topic = f"traksense/{HOSTILE.replace('/', '')}/site/dev/telem".replace("\x1b", "")
    await dead_letter(
        stack,
        (topic, json.dumps({HOSTILE: HOSTILE}).encode()),
        (TOPIC, b'{"schema": "v1",\n "ts": <script>oops</script>}'),
        (TOPIC, b"x" * 300 + b"\xff" + b"<script>"),
    )
    reason = f"parse_error: '{HOSTILE}' {HOSTILE}"
    await stack.fetch("UPDATE ingest_errors SET reason = $1 WHERE id = 1", reason)
    for path in ("/dead", "/dead/1", "/dead/2", "/dead/3", "/dead/replay", "/audit"):
        answer = browser.get(path, text=HOSTILE) if path == "/dead" else browser.get(path)
        assert answer.status == 200, path
        assert answer.body.count("<script") == 1, "the console's own"
        assert not {"\x1b", "\u202e"} & {*answer.body.partition('value="')[0], *answer.text}, path
    shown = browser.get("/dead/2").body
    assert "<mark>&lt;</mark>" in shown
    assert "◀ here" in shown
    binary = browser.get("/dead/3").body
    assert "<mark>ff</mark>" in binary
    assert "◀ here: byte 300" in binary


async def test_filters_pages_neighbours_and_what_does_not_exist(stack: Stack, browser: Browser) -> None:
    await storable_letters(stack, 120)
    await dead_letter(stack, ("traksense/acme/s/d7/telem", b"oops"))

    async def ids(**query: object) -> list[int]:
        page = browser.get("/dead", **query)
        return [int(id_) for id_ in re.findall(r'<tr id="letter-(\d+)">', page.body)]

    assert await ids() == [*range(121, 71, -1)]
    assert await ids(older=71) == [*range(71, 21, -1)]
    assert await ids(newer=22) == [*range(71, 21, -1)]
    assert await ids(older=21) == [*range(21, 0, -1)]
    assert await ids(device="acme/d7") == [121]
    assert await ids(text="ACME") == [121]
    assert await ids(since="1h", tenant="nobody") == []
    assert browser.get("/dead", since="soon").status == 400
    assert "/dead/119" in (page := browser.get("/dead/118").body)
    assert "/dead/117" in page
    assert "Newer: 121" not in browser.get("/dead/120").text, "another group"
    for path in ("/dead/999", f"/dead/{'9' * 5000}", "/dead/x"):
        assert browser.get(path).status == 404


async def test_an_export_has_the_bytes_of_the_command(stack: Stack, browser: Browser) -> None:
    await storable_letters(stack, 30)
    await dead_letter(stack, (TOPIC, b"\xff\x00"), (TOPIC, b"oops"))
    answer = browser.get("/dead/export", text="payload")
    assert answer.body == (await in_process(stack, "export", "--text", "payload")).stdout
    assert len(answer.body.splitlines()) == 2
    assert "attachment" in answer.headers["content-disposition"]
    row = (await stack.fetch("SELECT * FROM console_action WHERE action = 'export'"))[0]
    assert (row["asked"], row["done"], row["outcome"]) == (2, 2, "done")


async def test_what_a_mapping_would_make_of_them(stack: Stack, tmp_path: Path) -> None:
    folder = Folder(tmp_path / "mappings")
    folder.put(readings())
    await dead_letter(stack, (TOPIC, b"x"))
    environment = stack.environment | {"INGEST_MAPPINGS": str(folder)}
    async with running(environment, tmp_path) as console:
        browser = console.operator()
        assert "rejected again parse_error" in browser.get("/dead/1").text
        folder.put("name: [")
        assert "INGEST_MAPPINGS has" in browser.get("/dead/1").text


async def test_two_consoles_and_a_command_replay_each_once(stack: Stack, browser: Browser, tmp_path: Path) -> None:
    await storable_letters(stack, 60)
    async with running(stack.environment, tmp_path) as another:
        second = another.operator()
        await start(browser, rate=5)
        assert "run by another console" in second.get("/dead").text
        plan = second.get("/dead/replay")
        refused = second.post("/dead/replay", scope=plan.hidden("scope"), rate=5)
        assert "Another replay is running" in refused.text
        done = await in_process(stack, "replay", "--all")
        assert "replayed" in done.output
        await says(second, "Last replay:")
    assert await unreplayed(stack) == 0
    assert await stack.backlog() == 60


async def test_a_replay_that_another_console_has_ended_appends_no_more(
    stack: Stack, console: Console, browser: Browser
) -> None:
    await storable_letters(stack, 60)
    await start(browser, rate=5)
    await eventually(lambda: some_are_replayed(stack), "some are replayed")
    await stack.execute("UPDATE console_action SET ended_at = now(), outcome = 'interrupted' WHERE ended_at IS NULL")
    await eventually(lambda: "was ended by another console" in console.log, "the job ends")
    assert 0 < await unreplayed(stack) == 60 - await stack.backlog()
    await says(browser, "interrupted")


async def test_one_letter_again(stack: Stack, browser: Browser) -> None:
    await storable_letters(stack, 2)
    await start(browser, id=1)
    await says(browser, "Last replay: 1 of 1 replayed done")
    assert "There is nothing to replay" in browser.get("/dead/replay", id=1).text
    assert "Replay it again" in browser.get("/dead/1").text
    plan = browser.get("/dead/replay", id=1, again=1)
    browser.post("/dead/replay", scope=plan.hidden("scope"), rate=500)

    async def is_there() -> bool:
        return await stack.backlog() == 2

    await eventually(is_there, "a second entry")
    await says(browser, "Last replay: 1 of 1 replayed done", "/dead/1")
    assert await unreplayed(stack) == 1
