"""What the checks publish, as a device of the run's tenant would."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

SITE = "validate"

Value = float | bool | str
Point = tuple[str, str, Value]  # name, t, v


class Message(NamedTuple):
    """A payload, and the device that it is of."""

    device: str
    payload: bytes


def topic_of(tenant: str, device: str) -> str:
    """The topic of a device's telemetry."""
    return f"traksense/{tenant}/{SITE}/{device}/telem"


def telemetry(device: str, ts: datetime, points: Sequence[Point]) -> Message:
    """A telem v1 message."""
    body = {
        "schema": "v1",
        "ts": ts.isoformat(),
        "points": [{"name": name, "t": type_, "v": value} for name, type_, value in points],
    }
    return Message(device, json.dumps(body, ensure_ascii=False).encode())
