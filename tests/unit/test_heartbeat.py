from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from traksense_ingest.receiver import heartbeat
from traksense_ingest.receiver.heartbeat import Heartbeat
from traksense_ingest.shared.metrics import ReceiverMetrics
from traksense_ingest.shared.runtime.health import Health


async def test_it_ends_though_a_cancellation_gets_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in redis-py, where a reply arrives in the moment of the cancellation."""
    begun = asyncio.Event()

    async def register(_client: Any, _receiver: Any) -> bool:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            """The reply has arrived."""
        return True

    async def deregister(_client: Any, client_id: str) -> None:
        removed.append(client_id)

    removed: list[str] = []
    monkeypatch.setattr(heartbeat, "register", register)
    monkeypatch.setattr(heartbeat, "deregister", deregister)
    metrics = ReceiverMetrics()
    broker = Health(metrics, {"broker": "", "redis": ""}).components["broker"]
    client: Any = None
    mappings: Any = SimpleNamespace(digests={}, reload_error=None)
    task = asyncio.create_task(Heartbeat(client, "receiver-0", 1, broker, mappings, metrics).run())
    await begun.wait()
    task.cancel()
    assert await asyncio.wait({task}, timeout=10) == ({task}, set())
    assert removed == ["receiver-0"], "it never subscribed, so it leaves no session behind"
