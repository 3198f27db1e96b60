"""A message as MQTT delivered it: bytes, and what is needed to acknowledge it."""

from __future__ import annotations

from typing import NamedTuple


class Message(NamedTuple):
    """One PUBLISH. `ticket` is its place in the order received on its connection; QoS 0 has none to acknowledge."""

    topic: bytes
    payload: bytes
    received_at: int  # ms since the epoch
    mid: int
    qos: int
    ticket: int
