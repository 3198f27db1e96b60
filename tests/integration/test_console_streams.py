"""The console's pages of streams, with entries that are no messages, and as Redis's user that may only read."""

from __future__ import annotations

import asyncio
import gzip
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.console import Browser, running
from tests.support.redis_users import acl, as_user
from tests.support.stack import Stack
from tests.support.waiting import eventually
from traksense_ingest.ops.console.streams import entries
from traksense_ingest.ops.console.streams.excerpt import Excerpt, excerpt
from traksense_ingest.shared.streams.keys import GROUP, key_of

pytestmark = pytest.mark.long  # of `make test-all`

HOSTILE = "<script>alert(1)</script>\u202e\x1b[31m\"'&"
SHOWN = "<script>alert(1)</script>\\u202e\\x1b[31m\"'&"


@pytest.fixture
async def browser(stack: Stack, tmp_path: Path) -> AsyncIterator[Browser]:
    async with running(stack.environment | {"INGEST_SHARDS": "2"}, tmp_path) as console:
        yield console.operator()


async def append(stack: Stack, count: int) -> None:
    """Entries 1-0, 2-0 …"""
    for number in range(1, count + 1):
        await stack.redis.xadd(key_of(0), {"topic": "t", "payload": "{}", "received_at": 0}, f"{number}-0")


def ids(page: str) -> list[str]:
    """Of the entries that it shows."""
    return [part.partition("</code>")[0] for part in page.split("<summary>\n    <code>")[1:]]


async def test_a_payload_is_shown_as_what_it_is(stack: Stack, browser: Browser) -> None:
    await stack.append(HOSTILE, HOSTILE.encode(), retained=1)
    packed = b'{"packed":"%s"}' % HOSTILE.encode()
    await stack.append("packed", gzip.compress(packed))
    await stack.append(b"\xff\xfe", bytes(range(256)))
    await stack.append("long", "é".encode() * 5000)
    await stack.redis.xadd(key_of(0), {HOSTILE: HOSTILE})
    page = browser.get("/streams/0")
    text = page.text
    assert text.count(SHOWN) >= 5, "a topic, payloads, and a field"
    assert "retained 1" in text
    assert f"gzip: {len(packed)} bytes unpacked" in text
    assert "00000000 00 01 02 03" in text
    assert "\\xff\\xfe" in text
    assert "10000 bytes; the first 4096 are shown" in text
    assert f"{'é' * 2048}</pre>" in page.body
    assert "without a topic" in text
    assert "2023-11-14 22:13:20" in text, "received_at"
    assert page.scripts == ["/static/console.js"]
    assert "\u202e" not in page.body
    assert "\x1b" not in page.body


async def test_pages_go_forward_and_back(stack: Stack, browser: Browser) -> None:
    await append(stack, 120)
    first = browser.get("/streams/0")
    assert ids(first.body) == [f"{number}-0" for number in range(1, 51)]
    assert not [link for link in first.links if "before=" in link]
    second = browser.get(next(link for link in first.links if "after=" in link))
    assert ids(second.body)[::49] == ["51-0", "100-0"]
    third = browser.get(next(link for link in second.links if link.endswith("after=100-0")))
    assert ids(third.body)[::19] == ["101-0", "120-0"]
    assert not [link for link in third.links if link.endswith("after=120-0")]
    back = browser.get(next(link for link in third.links if "before=101-0" in link))
    assert ids(back.body)[::49] == ["51-0", "100-0"]


async def test_a_page_begins_at_an_id_or_a_time(stack: Stack, browser: Browser) -> None:
    await append(stack, 60)
    await stack.redis.xadd(key_of(0), {"topic": "t"}, "1700000000000-7")
    assert ids(browser.get("/streams/0", **{"from": "59"}).body) == ["59-0", "60-0", "1700000000000-7"]
    at = {"from": "2023-11-14T22:13:20Z"}
    assert ids(browser.get("/streams/0", **at).body) == ["1700000000000-7"]
    late = browser.get("/streams/0", **{"from": "1700000000000-8"})
    assert ids(late.body) == []
    assert "There are no entries from here on." in late.text
    back = browser.get(next(link for link in late.links if "before=" in link))
    assert ids(back.body)[-1] == "1700000000000-7"
    assert ids(browser.get("/streams/0", **{"from": "15m"}).body) == []


@pytest.mark.parametrize(
    ("query", "line"),
    [
        ({"from": "<b>yesterday"}, "“<b>yesterday” is neither an id (1700000000000-0) nor a time"),
        ({"from": "2023-11-14T22:13:20"}, "“2023-11-14T22:13:20” has no Z or offset"),
        ({"from": "18446744073709551616"}, "each of its parts must be below 2^64"),
        ({"after": "-"}, "“-” is not an id"),
        ({"before": "\0"}, "“\\x00” is not an id"),
    ],
)
async def test_a_wrong_start_is_one_line(stack: Stack, browser: Browser, query: dict[str, object], line: str) -> None:
    await append(stack, 1)
    page = browser.get("/streams/0", **query)
    assert page.status == 400
    assert line in page.text
    assert ids(page.body) == ["1-0"]


@pytest.mark.parametrize("query", [f"after={2**64 - 1}-{2**64 - 1}", "before=0-0", "before=0-1", "path=x&self=y&from="])
async def test_the_ends_of_all_ids_are_no_errors(stack: Stack, browser: Browser, query: str) -> None:
    await append(stack, 1)
    assert browser.get(f"/streams/0?{query}").status == 200


@pytest.mark.parametrize("number", ["2", "00", "-1", "x", "9" * 5000, "%3Cb%3E"])
async def test_a_stream_that_does_not_exist_is_not_found(browser: Browser, number: str) -> None:
    assert browser.get("/streams/1").status == 200
    assert browser.get(f"/streams/{number}").status == 404


async def test_who_has_an_entry_pending(stack: Stack, browser: Browser) -> None:
    await append(stack, 3)
    await stack.redis.xgroup_create(key_of(0), GROUP, "0")
    await stack.redis.xreadgroup(GROUP, HOSTILE, {key_of(0): ">"}, count=1)
    await stack.redis.xclaim(key_of(0), GROUP, HOSTILE, 0, ["1-0"])
    page = browser.get("/streams/0")
    text = page.text
    assert f"Pending consumer {SHOWN}, idle for" in text
    assert "delivered 2 times" in text
    assert text.count("Pending no") == 2
    assert page.scripts == ["/static/console.js"]


async def test_large_entries_are_read_a_few_at_once(stack: Stack, browser: Browser) -> None:
    for number in range(1, 13):
        await stack.redis.xadd(key_of(0), {"topic": "t", "payload": b"x" * 1_000_000}, f"{number}-0")
    first = browser.get("/streams/0")
    shown = ids(first.body)
    assert 4 <= len(shown) <= 6
    second = browser.get(next(link for link in first.links if "after=" in link))
    assert ids(second.body)[0] == f"{len(shown) + 1}-0"
    last = browser.get("/streams/0", after="11-0")
    assert ids(last.body) == ["12-0"]


async def test_figures_that_can_not_be_read_are_not_known(stack: Stack, browser: Browser) -> None:
    """Its entries can be, while another stream's can't."""
    await append(stack, 1)
    await stack.redis.set(key_of(1), "no stream")

    async def are_unknown() -> bool:
        return "Its figures can't be read at the moment." in (await asyncio.to_thread(browser.get, "/streams/0")).text

    await eventually(are_unknown)
    page = browser.get("/streams/0")
    assert ids(page.body) == ["1-0"]
    assert "No writer reads this stream." not in page.text
    assert page.text.count("Not known.") == 2, "the ledger and the consumers"


async def test_payloads_are_unpacked_in_a_thread(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """The console answers others meanwhile."""
    await append(stack, 1)
    threads = list[threading.Thread]()

    def noted(payload: bytes) -> Excerpt:
        threads.append(threading.current_thread())
        return excerpt(payload)

    monkeypatch.setattr(entries, "excerpt", noted)
    assert len((await entries.read_entries(stack.redis, key_of(0), entries.Range())).shown) == 1
    assert threads != [threading.main_thread()]
    assert len(threads) == 1


async def test_a_user_of_redis_that_may_only_read(guarded: Stack, tmp_path: Path) -> None:
    await append(guarded, 60)
    await guarded.redis.xgroup_create(key_of(0), GROUP, "0")
    await guarded.redis.xreadgroup(GROUP, "c", {key_of(0): ">"}, count=1)
    await acl(guarded.redis, "status", "clearselectors")
    environment = guarded.environment | {"REDIS_URL": as_user(guarded, "status")}
    async with running(environment, tmp_path) as console:
        browser = console.operator()
        page = browser.get("/streams/0", after="5-0")
        text = page.text
        assert ids(page.body)[0] == "6-0"
        assert "Pending not known" in text
        assert "is not permitted to see what is pending (XPENDING) and to read backward (XREVRANGE)" in text
        await acl(guarded.redis, "status", "+xpending", "+xrevrange")
        page = browser.get("/streams/0", before="6-0")
        assert ids(page.body) == [f"{number}-0" for number in range(1, 6)]
        assert "Pending consumer c, idle for" in page.text


async def test_an_outage_is_a_page_that_recovers(stack: Stack, browser: Browser) -> None:
    await append(stack, 1)
    stack.redis_server.kill()
    page = browser.get("/streams/0")
    assert page.status == 503
    assert "REDIS_URL=" in page.text
    stack.redis_server.start()
    assert browser.get("/streams/0").status == 200
