"""Devices that publish a format of the library: the example in the mapping's own tests, with another device, another
time and other readings."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

from traksense_ingest.ops.simulate.messages import Message, encode, rfc3339

SPREAD = 0.02  # of a reading around its example: the standard deviation, as a share
_HEXADECIMAL = re.compile(r"[0-9a-fA-F]{8,}")
_NAMES = ("deviceName",)  # keys of names that a device has beside its id
_COUNTERS = ("fCnt", "f_cnt")  # keys of the frames that a device has sent
_SECOND, _MILLISECOND, _MICROSECOND = timedelta(seconds=1), timedelta(milliseconds=1), timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Example:
    """A message of a mapping's tests, and what its rows say about it."""

    format: str
    topic: str
    payload: Any  # its JSON
    tenant: str
    device: str
    ts: datetime
    points: int
    resolution: timedelta  # of the time in it

    def tenant_of(self, tenant: str) -> str:
        """Whose its rows are: the topic's tenant, unless no level of the topic is one."""
        return tenant if self.tenant in self.topic.split("/") else self.tenant

    def topic_of(self, tenant: str, device: str) -> str:
        """The topic with another tenant and another device."""
        levels = (tenant if level == self.tenant else level for level in self.topic.split("/"))
        return "/".join(levels).replace(self.device, device)

    def payload_of(self, number: int, sent: int, ts: datetime, rng: Random) -> bytes:
        """The payload with another device, which has sent so many before, another time and other readings."""
        return encode(_varied(self.payload, _Sending(self, number, sent, ts, rng)))

    def named(self, number: int) -> str:
        """A device's name that looks like the example's."""
        if _HEXADECIMAL.fullmatch(self.device):
            return f"{self.device[:-6]}{number + 1:06x}"
        return f"{self.device}-{number + 1:04d}"


class FormatDevice:
    """A device, by its index in the fleet; the same random source makes the same device."""

    def __init__(self, number: int, tenant: str, example: Example, rng: Random) -> None:
        self._number, self._tenant, self._example, self._rng = number, tenant, example, rng
        self._name = example.named(number)
        self._last: datetime | None = None
        self._sent = 0

    def step(self, seconds: float) -> None:
        """Its readings are as they are."""

    def message(self, ts: datetime) -> Message:
        """What it sends now. Its time is as fine as the format has it, and later than that of the one before."""
        ts = self._next(ts)
        return Message(self._topic, self._payload(ts), "telem", ts, self._number, points=self._example.points)

    def bad(self, ts: datetime, _chance: Random) -> Message:
        """One that is cut off, as after a power cut."""
        payload = self._payload(ts)
        message = Message(self._topic, payload[: -len(payload) // 4], "telem", ts, self._number)
        return message._replace(fault="not_json", error_class="parse_error")

    @property
    def _topic(self) -> str:
        return self._example.topic_of(self._tenant, self._name)

    def _payload(self, ts: datetime) -> bytes:
        self._sent += 1
        return self._example.payload_of(self._number, self._sent - 1, ts, self._rng)

    def _next(self, ts: datetime) -> datetime:
        resolution = self._example.resolution
        ts -= (ts - ts.replace(second=0, microsecond=0)) % resolution
        if self._last is not None and ts <= self._last:
            ts = self._last + resolution
        self._last = ts
        return ts


Written = tuple[Callable[[datetime], Any], timedelta]


def form_of(value: Any, ts: datetime) -> Written | None:
    """How a value says the moment, and how finely; None where it is another value."""
    if isinstance(value, str) and len(value) >= len("2026-01-31T12:00:00Z"):
        try:
            return (rfc3339, _MICROSECOND) if datetime.fromisoformat(value) == ts else None
        except (ValueError, TypeError):
            return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        for per_second, resolution in ((1, _SECOND), (1000, _MILLISECOND)):
            if value == ts.timestamp() * per_second:
                if isinstance(value, float):
                    return (lambda ts: round(ts.timestamp(), 3)), _MILLISECOND
                return (lambda ts, times=per_second: round(ts.timestamp() * times)), resolution
    return None


def scalars(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from scalars(item)
    else:
        yield value


@dataclass(frozen=True, slots=True)
class _Sending:
    """What a device sends next."""

    example: Example
    number: int  # of the device
    sent: int  # messages before
    ts: datetime
    rng: Random


def _varied(value: Any, sending: _Sending, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _varied(item, sending, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_varied(item, sending) for item in value]
    if written := form_of(value, sending.example.ts):
        return written[0](sending.ts)
    if isinstance(value, str):
        return _named(value, sending, key)
    if key in _COUNTERS and isinstance(value, int):
        return value + sending.sent
    return _reading(value, sending.rng) if isinstance(value, float) else value


def _named(text: str, sending: _Sending, key: str) -> str:
    example = sending.example
    if key in _NAMES and example.device not in text:
        return f"{text}-{sending.number + 1:04d}"
    return text.replace(example.device, example.named(sending.number))


def _reading(value: float, rng: Random) -> float:
    """Near the example, with as many decimals."""
    decimals = len(repr(value).partition(".")[2]) if "e" not in repr(value) else 3
    return round(value * rng.gauss(1, SPREAD), decimals)
