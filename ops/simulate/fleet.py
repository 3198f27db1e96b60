"""The whole fleet: a seed and a start in, the sequence of its messages out. Pure: nothing here waits or sends."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count, islice
from random import Random

from ops.simulate import faults
from ops.simulate.devices import Device
from ops.simulate.messages import Message


@dataclass(frozen=True, slots=True)
class Plan:
    """What to simulate. The same plan gives the same messages; another start, the same but for their times."""

    start: datetime  # UTC
    seed: int
    devices: int = 20
    rate: float = 20.0  # messages/s of all devices together
    tenants: tuple[str, ...] = ("demo",)
    bad: float = 0.0  # the share of messages that are bad, 0 to 1
    messages: int | None = None
    duration: float | None = None  # s

    @property
    def limit(self) -> int | None:
        """How many messages there are; None: no end."""
        limits = [self.messages, None if self.duration is None else math.ceil(self.duration * self.rate)]
        return min((limit for limit in limits if limit is not None), default=None)

    def due(self, place: int) -> float:
        """When a message of the sequence is sent, in s after the start."""
        return place / self.rate


def fleet(plan: Plan) -> Iterator[Message]:
    """The messages in the order that they are sent in: the devices take turns."""
    devices = [_device(plan, number) for number in range(plan.devices)]
    turn = plan.devices / plan.rate  # s from one message of a device to its next
    chance = _random(plan.seed, "faults")
    for place in islice(count(), plan.limit):
        device = devices[place % plan.devices]
        if place >= plan.devices:
            device.step(turn)
        ts = plan.start + timedelta(seconds=plan.due(place))
        yield _bad(device, ts, chance) if chance.random() < plan.bad else device.message(ts)


def _device(plan: Plan, number: int) -> Device:
    return Device(number, plan.tenants[number % len(plan.tenants)], _random(plan.seed, number))


def _random(seed: int, use: object) -> Random:
    return Random(f"{seed}/{use}")  # noqa: S311  (not a secret)


def _bad(device: Device, ts: datetime, chance: Random) -> Message:
    fault = faults.pick(chance)
    body, _ = device.telemetry(ts)
    message = device.said("telem", ts, fault.spoil(body, ts))
    return message._replace(fault=fault.name, error_class=fault.error_class)
