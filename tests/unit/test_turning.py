"""A service that waits for its first contact is alive: an orchestrator must not restart it for that."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

import receiver.service
import writer.service
from ops.embedded import free_port
from shared.config import Settings, load
from shared.health import Health
from tests.support.waiting import eventually

Serve = Callable[[Settings, asyncio.Event], Awaitable[None]]


@pytest.mark.parametrize("serve", [receiver.service.serve, writer.service.serve], ids=["receiver", "writer"])
async def test_it_turns_while_nothing_it_needs_is_there(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[Health] = []
    monkeypatch.setattr(Health, "turn", lambda health: turns.append(health))  # noqa: PLW0108 - a method binds its object
    settings = load(redis_url=f"redis://127.0.0.1:{free_port()}/0", metrics_host="127.0.0.1", metrics_port=0)
    stop = asyncio.Event()
    serving = asyncio.ensure_future(serve(settings, stop))
    await eventually(lambda: len(turns) > 1, "a second turn")
    stop.set()
    await serving
    assert not turns[0].is_ready
