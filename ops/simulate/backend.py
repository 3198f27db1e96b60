"""The backend of a platform: it sends commands to devices, and each acknowledges its own a moment later. Pure, as the
fleet is."""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter
from random import Random

from traksense_ingest.ops.simulate.device import REPEATED_SHARE, Device, error
from traksense_ingest.ops.simulate.messages import Message, ulid

COMMAND_SHARE = 0.01  # of the messages of devices
TAKES_S = (0.2, 3.0)  # seconds that a device takes to execute a command
ACKS_MAX = 2  # of a command


@dataclass(frozen=True, slots=True)
class Command:
    """A command to a device, and its message."""

    device: Device
    cmd_id: str
    setpoint: float
    ts: datetime
    message: Message


@dataclass(frozen=True, slots=True)
class Due:
    """An ACK that a device sends at a time, or with the next free message after it."""

    at: datetime
    command: Command
    err: str | None
    is_last: bool  # of this command

    def message(self, ts: datetime) -> Message:
        """The ACK."""
        return self.command.device.ack(ts, self.command.cmd_id, self.command.setpoint, self.err)


class Backend:
    """Waits for the ACK of a device before it sends it another command. Near the end of the sequence it sends no
    command whose ACKs would come after the end."""

    def __init__(self, rng: Random, unanswered: float) -> None:
        """`unanswered` is the share of commands that get no ACK."""
        self._rng, self._unanswered = rng, unanswered
        self._due: list[Due] = []  # by time
        self._busy: set[int] = set()  # devices with a command that they have not acknowledged yet

    def wants(self, device: Device, left: int | None) -> bool:
        """Whether to send this device a command now; `left` is how many messages are left."""
        has_room = left is None or left > len(self._due) + ACKS_MAX
        return has_room and device.number not in self._busy and self._rng.random() < COMMAND_SHARE

    def command(self, device: Device, ts: datetime) -> Command:
        """A new command for a device."""
        cmd_id, setpoint = ulid(ts, self._rng), device.setpoint(self._rng)
        return Command(device, cmd_id, setpoint, ts, device.command(ts, cmd_id, setpoint))

    def sent(self, command: Command) -> None:
        """After a command was sent: plan its ACKs, unless the device never sends one."""
        if self._rng.random() < self._unanswered:
            return
        self._busy.add(command.device.number)
        err, is_repeated = error(self._rng), self._rng.random() < REPEATED_SHARE
        at = command.ts
        for index in range(1 + is_repeated):
            at += timedelta(seconds=self._rng.uniform(*TAKES_S))
            insort(self._due, Due(at, command, err, is_last=index == is_repeated), key=attrgetter("at"))

    def due(self, now: datetime, left: int | None) -> Due | None:
        """The ACK to send next, if it is time, or if no more messages are left than ACKs are due."""
        first = self._due[0] if self._due else None
        is_time = first is not None and (first.at <= now or (left is not None and left <= len(self._due)))
        return first if is_time else None

    def acknowledged(self, due: Due) -> None:
        """After an ACK was sent."""
        self._due.remove(due)
        if due.is_last:
            self._busy.discard(due.command.device.number)
