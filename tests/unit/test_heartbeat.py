"""What a process says of itself every 2 s."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from traksense_ingest.receiver import heartbeat
from traksense_ingest.receiver.heartbeat import Heartbeat
from traksense_ingest.shared.failure import Unusable
from traksense_ingest.shared.metrics import ReceiverMetrics
from traksense_ingest.shared.runtime.health import Health
from traksense_ingest.shared.streams.heartbeat import PERIOD_S, Pulse, waits_of


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
    components = Health(metrics, {"broker": "", "redis": ""}).components
    client: Any = None
    mappings: Any = SimpleNamespace(digests={}, reload_error=None)
    task = asyncio.create_task(Heartbeat(client, "receiver-0", 1, components, mappings, metrics).run())
    await begun.wait()
    task.cancel()
    assert await asyncio.wait({task}, timeout=10) == ({task}, set())
    assert removed == ["receiver-0"], "it never subscribed, so it leaves no session behind"


def test_it_says_what_is_waited_for_and_since_when(monkeypatch: pytest.MonkeyPatch) -> None:
    components = Health(ReceiverMetrics(), {"broker": "", "redis": ""}).components
    assert waits_of(components) == [], "nothing was tried yet"
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    components["broker"].up()
    components["redis"].down(Unusable("n1:7001 has 0 replicas, and INGEST_REPLICAS is 1"))
    now = 110.0
    components["redis"].down(ConnectionRefusedError("refused"))
    (wait,) = waits_of(components)
    assert (wait.component, wait.reason, wait.seconds) == ("redis", "refused", 10.0)
    components["redis"].up()
    assert waits_of(components) == []


def test_it_is_sent_every_2_s_and_at_once_when_a_component_is_lost_or_back(monkeypatch: pytest.MonkeyPatch) -> None:
    components = Health(ReceiverMetrics(), {"broker": "", "redis": ""}).components
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    pulse = Pulse(components)
    assert [pulse.is_due(), pulse.is_due()] == [True, False]
    components["redis"].down(ConnectionRefusedError("refused"))
    assert [pulse.is_due(), pulse.is_due()] == [True, False]
    components["redis"].up()
    assert [pulse.is_due(), pulse.is_due()] == [True, False]
    now += PERIOD_S
    assert [pulse.is_due(), pulse.is_due()] == [True, False]
