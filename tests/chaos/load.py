"""A steady load whose every message is unlike all others, and the record of what the broker acknowledged."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from tests.support.waiting import pause
from traksense_ingest.ops.simulate.lane import Lane, Notice
from traksense_ingest.ops.simulate.messages import (
    Message,
    ack_v1,
    cmd_v1,
    encode,
    event_v1,
    point,
    state_v1,
    telem_v1,
)
from traksense_ingest.ops.simulate.report import Tally
from traksense_ingest.shared.config import Settings

TENANTS = ("chaos0", "chaos1")
REPLAYED = "replayed"  # the tenant of the dead letters that are replayed with the console
POINTS = 3
START = datetime(2025, 1, 1, tzinfo=UTC)
_DEVICES = 20  # a tenant
_KINDS = ("cmd", "ack", "event", "state", "poison")  # each one in twenty; telemetry for the rest
ACK_AFTER = len(TENANTS)  # numbers: an ACK is of the command before it, of the same tenant


class Identity(NamedTuple):
    """What a message is recognized by."""

    kind: str  # telem, cmd, ack, event, state or poison
    number: int


def message(number: int) -> Message:
    """The message of this number: anybody who knows the number knows all of it."""
    identity = identity_of(number)
    ts = moment_of(number)
    topic = f"traksense/{tenant_of(number)}/site/{device_of(number)}"
    match identity.kind:
        case "cmd":
            kind, payload = "cmd", encode(cmd_v1(ts, str(number), "chaos", {}))
        case "ack":
            kind, payload = "ack", encode(ack_v1(ts, str(number - ACK_AFTER), None))
        case "state":
            kind, payload = "state", encode(state_v1(ts, f"state {number}"))
        case "event":
            kind, payload = "event", encode(event_v1(ts, "chaos", str(number), {}))
        case "poison":
            kind, payload = "telem", b"poison %d" % number
        case _:
            points = [point(f"p{index}", number) for index in range(POINTS)]
            kind, payload = "telem", encode(telem_v1(ts, points, {}))
    return Message(f"{topic}/{kind}", payload, kind, ts, device=number, retain=kind == "state")


def identity_of(number: int) -> Identity:
    """Its kind, and itself."""
    # Alternating tenants take alternating numbers, so each tenant gets every kind.
    index = number // len(TENANTS) % 20
    return Identity(_KINDS[index] if index < len(_KINDS) else "telem", number)


def tenant_of(number: int) -> str:
    """Whose message it is."""
    return TENANTS[number % len(TENANTS)]


def device_of(number: int) -> str:
    """The device's name. With each twenty messages of a tenant the kinds move on by one device."""
    if identity_of(number).kind == "ack":
        number -= ACK_AFTER
    turn = number // len(TENANTS)
    return f"device-{(turn + turn // 20) % _DEVICES}"


def moment_of(number: int) -> datetime:
    """The timestamp that no other message has."""
    return START + timedelta(milliseconds=number)


class Record(Tally):
    """When each message got its PUBACK."""

    def __init__(self) -> None:
        super().__init__()
        self.confirmed: dict[int, float] = {}  # number: time.monotonic()

    def add(self, message: Message) -> None:
        """The broker has acknowledged it."""
        self.confirmed[message.device] = time.monotonic()

    def between(self, begin: float, end: float) -> set[int]:
        """What was acknowledged in a span of time."""
        return {number for number, at in self.confirmed.items() if begin <= at < end}


class Load:
    """Publishers, one for each tenant, at least once and in order each."""

    def __init__(self, settings: Settings, rate: float) -> None:
        self.record = Record()
        self.published = 0  # numbers below this one were handed to a publisher
        self._rate = rate
        notice = Notice(settings, lambda _: None)
        self._lanes = [Lane(settings, f"publisher-{tenant}", self.record, notice) for tenant in TENANTS]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Publish for as long as the block takes; then wait for the last PUBACKs."""
        async with asyncio.TaskGroup() as tasks:
            for lane in self._lanes:
                tasks.create_task(lane.run())
            feeding = tasks.create_task(self._feed())
            yield
            feeding.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await feeding
            for lane in self._lanes:
                await lane.idle.wait()
                lane.close()

    async def _feed(self) -> None:
        started, first = time.monotonic(), self.published
        while True:
            due = first + int((time.monotonic() - started) * self._rate)
            if self.published >= due:
                await pause(1 / self._rate)
                continue
            number = self.published
            self.published += 1
            # A publisher that waits for its broker holds the others up too: the load is one stream of numbers.
            await self._lanes[number % len(TENANTS)].put(message(number))
