"""Listening in the console: what ends it, and what it keeps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime

import pytest
from starlette.requests import Request
from starlette.types import Message as Event

from traksense_ingest.ops.console.guard.roles import Role
from traksense_ingest.ops.console.guard.sessions import Session
from traksense_ingest.ops.console.playground import listeners
from traksense_ingest.ops.console.playground.listeners import AT_ONCE, BYTES, MESSAGES, Listeners
from traksense_ingest.shared import config
from traksense_ingest.shared.errors import IngestError
from traksense_ingest.shared.mapping.expected import Message


def session() -> Session:
    return Session("ana", Role.VIEWER, 0, 0)


class Page:
    """A browser's request: it stays until it leaves."""

    def __init__(self) -> None:
        self.has_left = asyncio.Event()
        self.request = Request({"type": "http"}, self._receive)

    async def _receive(self) -> Event:
        await self.has_left.wait()
        return {"type": "http.disconnect"}


class Broker:
    """Sends the same message for ever, or none."""

    def __init__(self, payload: bytes | None) -> None:
        self.payload = payload
        self.subscribed = asyncio.Event()

    async def listen(
        self, _settings: object, filters: list[str], _seconds: float, stop: asyncio.Event, **_: object
    ) -> AsyncGenerator[Message, None]:
        self.subscribed.set()
        while self.payload is not None:
            yield Message(filters[0], self.payload, datetime.now(UTC))
        await stop.wait()


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Broker:
    broker = Broker(None)
    monkeypatch.setattr(listeners, "listen", broker.listen)
    return broker


@pytest.mark.parametrize(("payload", "count"), [(b"1", MESSAGES), (b"x" * (BYTES // 3), 2), (b"x" * 2 * BYTES, 1)])
async def test_it_keeps_a_few_messages(monkeypatch: pytest.MonkeyPatch, payload: bytes, count: int) -> None:
    monkeypatch.setattr(listeners, "listen", Broker(payload).listen)
    heard = await Listeners().hear(session(), Page().request, config.load(), "a/b")
    assert (len(heard.messages), heard.is_full) == (count, True)


async def test_a_browser_that_leaves_ends_it(silent: Broker) -> None:
    page = Page()
    hearing = asyncio.create_task(Listeners().hear(session(), page.request, config.load(), "a/b"))
    await silent.subscribed.wait()
    page.has_left.set()
    assert (await hearing).messages == []


async def test_one_of_a_session_and_a_few_at_once(silent: Broker) -> None:
    all_of_them, first = Listeners(), session()
    sessions = [first, *(session() for _ in range(AT_ONCE - 1))]
    pages = [Page() for _ in sessions]
    tasks = []
    for each, page in zip(sessions, pages, strict=True):
        silent.subscribed.clear()
        tasks.append(asyncio.create_task(all_of_them.hear(each, page.request, config.load(), "a/b")))
        await silent.subscribed.wait()
    with pytest.raises(IngestError, match="browsers listen at this moment"):
        await all_of_them.hear(session(), Page().request, config.load(), "a/b")
    silent.subscribed.clear()
    again = asyncio.create_task(all_of_them.hear(first, pages[0].request, config.load(), "a/b"))
    await tasks[0]
    await silent.subscribed.wait()
    assert not again.done()
    for page in pages:
        page.has_left.set()
    await asyncio.gather(again, *tasks)
