from __future__ import annotations

import asyncio
from typing import Any

import pytest

from receiver import presence
from receiver.presence import Presence
from shared.health import Health
from shared.metrics import ReceiverMetrics


async def test_it_ends_though_a_cancellation_gets_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in redis-py, where a reply arrives in the moment of the cancellation."""
    begun = asyncio.Event()

    async def announce(_client: Any, _receiver: Any) -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            """The reply was there."""

    async def withdraw(_client: Any, client_id: str) -> None:
        withdrawn.append(client_id)

    withdrawn: list[str] = []
    monkeypatch.setattr(presence, "announce", announce)
    monkeypatch.setattr(presence, "withdraw", withdraw)
    metrics = ReceiverMetrics()
    broker = Health(metrics, {"broker": "", "redis": ""}).components["broker"]
    client: Any = None
    task = asyncio.create_task(Presence(client, "receiver-0", broker, metrics).run())
    await begun.wait()
    task.cancel()
    assert await asyncio.wait({task}, timeout=10) == ({task}, set())
    assert withdrawn == ["receiver-0"]
