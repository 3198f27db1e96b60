"""The fleet and its backend: a seed and a start in, the sequence of messages out. Pure: nothing here waits or sends."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count, islice
from random import Random

from traksense_ingest.ops.simulate.backend import Backend
from traksense_ingest.ops.simulate.device import Device
from traksense_ingest.ops.simulate.format_device import Example, FormatDevice
from traksense_ingest.ops.simulate.messages import Message


@dataclass(frozen=True, slots=True)
class Plan:
    """What to simulate. The same plan gives the same messages; another start, the same but for their times."""

    start: datetime  # UTC
    seed: int
    devices: int = 20
    rate: float = 20.0  # messages/s of all devices together
    tenants: tuple[str, ...] = ("demo",)
    bad: float = 0.0  # the share of messages that are bad, 0 to 1
    states: bool = False  # whether devices publish their states, online and offline; each has a connection of its own
    commands: bool = False  # whether a backend sends commands, which the devices acknowledge
    unanswered: float = 0.0  # the share of commands that no device acknowledges, 0 to 1
    examples: tuple[Example, ...] = ()  # of the formats that devices publish, in turn; none: version 1 and Parsec's
    messages: int | None = None
    duration: float | None = None  # s

    @property
    def limit(self) -> int | None:
        """How many messages there are; None: no end."""
        limits = [self.messages, None if self.duration is None else math.ceil(self.duration * self.rate)]
        return min((limit for limit in limits if limit is not None), default=None)

    @property
    def owners(self) -> tuple[str, ...]:
        """The tenants whose rows there are."""
        if not self.examples:
            return self.tenants
        return tuple(dict.fromkeys(example.tenant_of(tenant) for tenant in self.tenants for example in self.examples))

    def due(self, index: int) -> float:
        """When a message of the sequence is sent, in s after the start."""
        return index / self.rate


class Fleet:
    """All devices of a plan, and what they send: a sequence that may end before the plan does."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._start = plan.start
        self._sent = 0  # messages of the sequence
        self._devices = [_device(plan, number) for number in range(plan.devices)]
        self._backend = Backend(_random(plan.seed, "commands"), plan.unanswered)

    @property
    def devices(self) -> list[Device]:
        """Those that have a state: all that publish version 1."""
        return [device for device in self._devices if isinstance(device, Device)]

    @property
    def now(self) -> datetime:
        """When the next message of the sequence is sent."""
        return self._start + timedelta(seconds=self._plan.due(self._sent))

    def messages(self, start: datetime) -> Iterator[Message]:
        """In the order in which they are sent, from a start on: the devices take turns. A message counts as
        sent when the next one is requested."""
        self._start = start
        interval = self._plan.devices / self._plan.rate  # s from one message of a device to its next
        chance, turns = _random(self._plan.seed, "faults"), count()
        for index in islice(count(), self._plan.limit):
            left = None if self._plan.limit is None else self._plan.limit - index
            if due := self._backend.due(self.now, left):
                yield due.message(self.now)
                self._backend.acknowledged(due)
            else:
                turn = next(turns)
                device = self._devices[turn % self._plan.devices]
                if turn >= self._plan.devices:
                    device.step(interval)
                yield from self._turn(device, chance, left)
            self._sent += 1

    def unanswered(self) -> Iterator[Message]:
        """The ACKs that are due after the sequence has ended early."""
        while due := self._backend.due(self.now, 0):
            yield due.message(self.now)
            self._backend.acknowledged(due)
            self._sent += 1

    def _turn(self, device: Device | FormatDevice, chance: Random, left: int | None) -> Iterator[Message]:
        if self._plan.commands and isinstance(device, Device) and self._backend.wants(device, left):
            command = self._backend.command(device, self.now)
            yield command.message
            self._backend.sent(command)
        else:
            yield device.bad(self.now, chance) if chance.random() < self._plan.bad else device.message(self.now)


def fleet(plan: Plan) -> Iterator[Message]:
    """The whole sequence of a plan."""
    return Fleet(plan).messages(plan.start)


def _device(plan: Plan, number: int) -> Device | FormatDevice:
    tenant, rng = plan.tenants[number % len(plan.tenants)], _random(plan.seed, number)
    if plan.examples:
        return FormatDevice(number, tenant, plan.examples[number % len(plan.examples)], rng)
    return Device(number, tenant, rng, is_commanded=plan.commands)


def _random(seed: int, use: object) -> Random:
    return Random(f"{seed}/{use}")  # noqa: S311  (not a secret)
