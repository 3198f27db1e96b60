"""A message as MQTT delivered it: bytes, and what is needed to acknowledge it."""

from __future__ import annotations

from typing import NamedTuple


class Message(NamedTuple):
    """One PUBLISH. `ticket` is its place among those of its connection that need a PUBACK; QoS 0 needs none."""

    topic: bytes
    payload: bytes
    received_at: int  # ms since the epoch
    mid: int
    qos: int
    ticket: int
