"""How long a receiver waits before it connects again, and when it suspects another client of its client id."""

from __future__ import annotations

import aiomqtt
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from traksense_ingest.receiver.reconnect import CONFLICT_CAP_S, HELD_S, RESOLVED_S, Closed, Reconnect

LOST = Closed("Disconnected")
RESET = aiomqtt.MqttError("Disconnected")
TAKEN_OVER = aiomqtt.MqttCodeError(ReasonCode(PacketTypes.DISCONNECT, identifier=0x8E), "")
OUTAGE_CAP_S = 1.0


class Broker:
    """Its connections end after as many seconds as a test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._now = 0.0
        self._reconnect = Reconnect("the-id")
        monkeypatch.setattr("traksense_ingest.receiver.reconnect.time.monotonic", lambda: self._now)

    def lose(self, held: float, error: Exception = LOST) -> float:
        self._reconnect.subscribed()
        self._now += held
        return self._reconnect.delay(error)

    def refuse(self) -> float:
        return self._reconnect.delay(ConnectionRefusedError())


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    return Broker(monkeypatch)


def test_only_a_connection_that_held_starts_the_delays_again(broker: Broker) -> None:
    delays = [broker.lose(HELD_S / 2) for _ in range(10)]
    assert delays[0] < 0.1
    assert delays[-1] >= OUTAGE_CAP_S / 2
    assert broker.lose(HELD_S) < 0.1


def test_short_connections_are_a_sign_of_another_client(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    delays = [broker.lose(0.1) for _ in range(20)]
    assert delays[1] < OUTAGE_CAP_S
    assert CONFLICT_CAP_S / 2 <= delays[-1] <= CONFLICT_CAP_S
    (line,) = caplog.messages
    assert "another client probably uses this client id, the-id" in line


def test_a_broker_that_is_unreachable_in_between_is_none(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(20):
        assert broker.lose(0.1) <= OUTAGE_CAP_S
        assert broker.refuse() <= OUTAGE_CAP_S
    assert not caplog.messages


def test_connections_that_are_reset_are_none(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(20):
        assert broker.lose(0.1, RESET) <= OUTAGE_CAP_S
    assert not caplog.messages


def test_a_reset_between_does_not_hide_it(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    """A broker that closes a connection with something unread on it resets it, and that is by chance."""
    for _ in range(3):
        broker.lose(0.1)
        broker.lose(0.1, RESET)
    assert len(caplog.messages) == 1


def test_a_reason_is_logged_once_until_it_is_settled(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(5):
        assert broker.lose(2 * HELD_S, TAKEN_OVER) <= OUTAGE_CAP_S
    assert len(caplog.messages) == 1
    broker.lose(RESOLVED_S, TAKEN_OVER)
    assert len(caplog.messages) == 2
