"""Actions of the console that take long, or longer than the database is there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import StreamingResponse

from tests.support.dead_letters import TOPIC, dead_letter
from tests.support.stack import Stack
from tests.support.waiting import eventually
from traksense_ingest.ops.console.actions import exports, replay_box, table
from traksense_ingest.ops.console.actions.replays import Job, Replays
from traksense_ingest.ops.console.actions.scope import Scope
from traksense_ingest.ops.console.actions.table import EXPORT, REPLAY, beating, start
from traksense_ingest.ops.console.guard.roles import Role
from traksense_ingest.ops.console.guard.sessions import Session
from traksense_ingest.ops.console.options import Options
from traksense_ingest.ops.console.pages import dead
from traksense_ingest.ops.console.visit import Console, Visit
from traksense_ingest.ops.dlq.dead_letter import Selection
from traksense_ingest.ops.dlq.table import open_table
from traksense_ingest.shared import config

pytest.importorskip("starlette")

ANA = Session("ana", Role.OPERATOR, 0, 0)
AGE = "UPDATE console_action SET seen_at = now() - interval '1 min' WHERE ended_at IS NULL"


def visit_of(stack: Stack) -> Visit:
    settings = config.load(**{name.lower(): value for name, value in stack.addresses.items()})
    request = Request({"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []})
    return Visit(request, Console.of(settings, Options(), 9180), ANA)


async def test_an_export_that_takes_long_is_not_interrupted(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    await dead_letter(stack, (TOPIC, b"oops"))
    monkeypatch.setattr(table, "BEAT_S", 0.01)

    async def slow(*_: object) -> AsyncIterator[str]:
        await stack.execute(AGE)
        await eventually(is_seen, "a heartbeat")
        yield "{}"

    async def is_seen() -> bool:
        return bool(await stack.fetchval("SELECT seen_at > now() - interval '30 s' FROM console_action"))

    monkeypatch.setattr(exports, "exported", slow)
    response = await dead.export(visit_of(stack))
    assert isinstance(response, StreamingResponse)
    assert [line async for line in response.body_iterator] == [b"{}"]
    (row,) = await stack.fetch("SELECT * FROM console_action")
    assert (row["action"], row["outcome"], row["done"]) == (EXPORT, "done", 1)


async def test_a_replay_of_this_console_goes_on_after_an_outage(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its row has no heartbeat from the outage, and says that it was interrupted."""
    visit = visit_of(stack)
    replays: Any = visit.console.replays
    async with open_table(stack.database_url) as connection:
        id_ = await start(connection, ANA, REPLAY, Scope(Selection()), 3)
        assert id_ is not None
        await stack.execute(AGE)
        other = await replay_box.box_of(connection, replays)
        assert other is not None
        assert other.action is not None
        assert (other.action.is_running, other.action.outcome) == (False, "interrupted")
        job = Job(visit.settings, id_, Scope(Selection()), 1)
        monkeypatch.setattr(Replays, "job", job)
        own = await replay_box.box_of(connection, replays)
        assert own is not None
        assert own.action is not None
        assert (own.action.is_running, own.action.outcome, own.left) == (True, None, 0)


async def test_an_outage_during_an_action_is_no_error_of_its_heartbeat(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries = 0

    def counted(*given: Any) -> Any:
        nonlocal tries
        tries += 1
        return open_table(*given)

    async def is_seen() -> bool:
        return bool(await stack.fetchval("SELECT seen_at > now() - interval '30 s' FROM console_action"))

    monkeypatch.setattr(table, "BEAT_S", 0.01)
    async with open_table(stack.database_url) as connection:
        id_ = await start(connection, ANA, REPLAY, Scope(Selection()), 3)
    assert id_ is not None
    await stack.execute(AGE)
    await stack.refuse_connections()
    monkeypatch.setattr(table, "open_table", counted)
    async with beating(stack.database_url, id_):
        await eventually(lambda: tries >= 3, "it goes on")
        await stack.allow_connections()
        await eventually(is_seen, "a heartbeat")
    assert [record.message for record in caplog.records if record.exc_info] == []
