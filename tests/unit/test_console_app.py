"""The application without a server: what a bug looks like, and requests that are too slow or too large."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response

from traksense_ingest.ops.console import app
from traksense_ingest.ops.console.actions.exports import Exports
from traksense_ingest.ops.console.actions.replays import Replays
from traksense_ingest.ops.console.actions.table import Recorder
from traksense_ingest.ops.console.guard import body
from traksense_ingest.ops.console.guard.attempts import Attempts
from traksense_ingest.ops.console.guard.roles import Role
from traksense_ingest.ops.console.guard.sessions import COOKIE, Sessions
from traksense_ingest.ops.console.live.feed import Feed
from traksense_ingest.ops.console.options import Options
from traksense_ingest.ops.console.page import Page
from traksense_ingest.ops.console.visit import Console, Visit
from traksense_ingest.ops.status.verdict import GOOD, Verdict
from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.errors import IngestError

SECRET = "s3cret-of-the-test"


class NoFeed(Feed):
    """Of a pipeline that nobody has asked."""

    async def verdict(self) -> Verdict:
        return Verdict(GOOD, "")


async def answer(
    endpoint: Any, monkeypatch: pytest.MonkeyPatch, role: Role = Role.NOBODY, user: Role = Role.NOBODY
) -> tuple[int, str]:
    """Status and text of a page that this endpoint makes, for whoever has a role, for a user who has one."""
    monkeypatch.setattr(app, "PAGES", (Page("/page", endpoint, role),))
    settings = Settings(_env_file=None)  # type: ignore[call-arg]
    replays, recorder = Replays(settings), Recorder(settings.database_url)
    feed, exports = NoFeed(settings), Exports(settings)
    console = Console(settings, Options(), 9180, Sessions(), Attempts(), feed, replays, recorder, exports)
    cookie = f"{COOKIE}={console.sessions.start('ana', user)}" if user else ""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/page",
        "raw_path": b"/page",
        "root_path": "",
        "query_string": b"",
        "scheme": "http",
        "http_version": "1.1",
        "headers": [(b"host", b"localhost"), (b"cookie", cookie.encode())],
        "server": ("127.0.0.1", 9180),
        "client": ("127.0.0.1", 1),
    }
    await app.make_app(console)(scope, receive, send)
    text = b"".join(message.get("body", b"") for message in sent).decode()
    return sent[0]["status"], text


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
@pytest.mark.parametrize("user", Role)
async def test_a_page_is_for_its_role_and_those_above(monkeypatch: pytest.MonkeyPatch, role: Role, user: Role) -> None:
    async def endpoint(_: Visit) -> Response:
        return PlainTextResponse(SECRET)

    status, text = await answer(endpoint, monkeypatch, role, user)
    assert (SECRET in text) == (user >= role)
    assert status == (200 if user >= role else 403 if user else 303)


async def test_a_bug_is_a_page_without_its_details_and_a_log_line_with_them(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def endpoint(_: Visit) -> Response:
        raise KeyError(SECRET)

    with caplog.at_level(logging.ERROR):
        status, text = await answer(endpoint, monkeypatch)
    assert (status, "This is a bug in the console" in text) == (500, True)
    assert SECRET not in text
    assert "Traceback" not in text
    (record,) = caplog.records
    assert record.message == "console: a bug, in GET /page"
    assert SECRET in str(record.exc_info)


async def test_an_outage_is_a_page_that_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def endpoint(_: Visit) -> Response:
        raise IngestError("DATABASE_URL=<b>: connection refused")

    status, text = await answer(endpoint, monkeypatch)
    assert (status, "DATABASE_URL=&lt;b&gt;: connection refused" in text) == (503, True)
    assert '<body data-refresh="5">' in text


async def test_a_body_that_comes_too_slowly_or_is_too_large_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never() -> Any:
        await asyncio.Event().wait()

    async def endless() -> Any:
        return {"type": "http.request", "body": b"x" * 10, "more_body": True}

    large = body.bounded(endless, 25)
    await large()
    await large()
    with pytest.raises(HTTPException) as raised:
        await large()
    assert raised.value.status_code == 413
    monkeypatch.setattr(body, "BODY_S", 0.0)
    with pytest.raises(HTTPException) as raised:
        await body.bounded(never, 25)()
    assert raised.value.status_code == 408


async def test_after_the_body_a_browser_may_stay_as_long_as_it_likes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that is sent piece by piece waits for it to go away."""
    messages = [{"type": "http.request", "body": b"x" * 25, "more_body": False}, {"type": "http.disconnect"}]
    monkeypatch.setattr(body, "BODY_S", 0.0)

    async def receive() -> Any:
        return messages.pop(0)

    bounded = body.bounded(receive, 25)
    assert (await bounded())["type"] == "http.request"
    assert (await bounded())["type"] == "http.disconnect"
