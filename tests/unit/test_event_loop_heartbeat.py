"""A service that waits for its servers is alive: an orchestrator must not restart it for that."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.support.waiting import eventually
from traksense_ingest.ops.embedded import free_port
from traksense_ingest.receiver import service as receiver
from traksense_ingest.shared.config import Settings, load
from traksense_ingest.shared.runtime.health import Health
from traksense_ingest.writer import service as writer

Serve = Callable[[Settings, asyncio.Event], Awaitable[None]]


@pytest.mark.parametrize(
    "serve",
    [receiver.serve, writer.serve],
    ids=["receiver", "writer"],
)
async def test_its_event_loop_has_a_heartbeat_while_nothing_is_reachable(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    beats: list[Health] = []
    monkeypatch.setattr(Health, "beat", lambda health: beats.append(health))  # noqa: PLW0108 - a method binds its object
    settings = load(redis_url=f"redis://127.0.0.1:{free_port()}/0", metrics_host="127.0.0.1", metrics_port=0)
    stop = asyncio.Event()
    serving = asyncio.ensure_future(serve(settings, stop))
    await eventually(lambda: len(beats) > 1, "a second heartbeat")
    stop.set()
    await serving
    assert not beats[0].is_ready
