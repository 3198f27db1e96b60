"""The shape of a load: how many messages, of how many points, devices and tenants. It determines each message and
each row; no two messages have a key in common."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from traksense_ingest.ops.simulate.messages import encode, point, rfc3339, telem_v1
from traksense_ingest.shared.messages import topic_of

START = datetime(2026, 1, 1, tzinfo=UTC)
STEP_US = 1_000  # between two messages: 100 000 of them are within one chunk of a day
UNIT = "°C"
AGAIN_AFTER = 1_000  # messages: in another batch
READINGS = 100  # different ones; more would only make the generator slower

Row = tuple[str, str, str, datetime, float, None, None, str, None]


class Message(NamedTuple):
    """What a device publishes."""

    topic: bytes
    payload: bytes


@dataclass(frozen=True)
class Shape:
    """A load. Message n comes from device n % devices, at `start` + n steps."""

    messages: int
    points: int = 10
    devices: int = 1_000
    tenants: int = 1
    start: datetime = START
    step_us: float = STEP_US

    @property
    def rows(self) -> int:
        """Points of all messages together."""
        return self.messages * self.points

    def message(self, number: int) -> Message:
        """The message of this number."""
        return next(self.encoded(range(number, number + 1)))

    def encoded(self, numbers: range) -> Iterator[Message]:
        """Messages, made fast: what they have in common is encoded once."""
        readings = [encode(telem_v1(START, self._points(number), {})) for number in range(READINGS)]
        parts = [reading.split(rfc3339(START).encode()) for reading in readings]
        for number in numbers:
            before, after = parts[number % READINGS]
            yield Message(self._topic(number), before + rfc3339(self.moment(number)).encode() + after)

    def records(self, numbers: range) -> Iterator[Row]:
        """The same messages as rows of ts_measure, in the same order."""
        for number in numbers:
            tenant, device = self._names(number)
            ts = self.moment(number)
            for index in range(self.points):
                yield tenant, device, f"p{index}", ts, _value(number, index), None, None, UNIT, None

    def moment(self, number: int) -> datetime:
        """The timestamp that no other message of the device has."""
        return self.start + timedelta(microseconds=round(number * self.step_us))

    def to_json(self) -> str:
        """For another process."""
        return json.dumps(asdict(self) | {"start": self.start.isoformat()})

    @classmethod
    def from_json(cls, text: str) -> Shape:
        """What `to_json` gave."""
        fields = json.loads(text)
        return cls(**fields | {"start": datetime.fromisoformat(fields["start"])})

    def _names(self, number: int) -> tuple[str, str]:
        device = number % self.devices
        return f"tenant{device % self.tenants}", f"device{device}"

    def _topic(self, number: int) -> bytes:
        tenant, device = self._names(number)
        return topic_of(tenant, "bench", device).encode()

    def _points(self, number: int) -> list[dict[str, Any]]:
        return [point(f"p{index}", _value(number, index), "float", UNIT) for index in range(self.points)]


def with_repetitions(shape: Shape, again: Collection[int]) -> Iterator[Message]:
    """Messages; those with the numbers `again` once more AGAIN_AFTER later, as from a broker that missed a PUBACK."""
    waiting: deque[tuple[int, Message]] = deque()
    for number, message in enumerate(shape.encoded(range(shape.messages))):
        yield message
        if number in again:
            waiting.append((number + AGAIN_AFTER, message))
        while waiting and waiting[0][0] <= number:
            yield waiting.popleft()[1]
    yield from (message for _, message in waiting)


def _value(number: int, index: int) -> float:
    return (number % READINGS + index) / 10
