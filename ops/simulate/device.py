"""A device: what it measures, its events, and its messages. Pure: nothing here waits or sends."""

from __future__ import annotations

from collections import deque
from datetime import datetime
from random import Random

from traksense_ingest.ops.simulate.messages import (
    Body,
    Message,
    ack_v1,
    cmd_v1,
    encode,
    event_v1,
    parsec_v1,
    pick,
    point,
    state_v1,
    telem_v1,
    ulid,
)
from traksense_ingest.ops.simulate.signals import PROFILES, Room
from traksense_ingest.shared.messages import ROOT

PARSEC_EVERY = 4  # every fourth device is a Parsec
DEVICES_A_SITE = 10
ACK_SHARE = 0.02
REPEATED_SHARE = 0.25  # of the ACKs, which report the previous command once more
FAILED_SHARE = 0.15  # of the commands
ALARM_SHARE = 0.002
MUTE_SHARE = 0.005  # of the readings of humidity: the sensor gave none
ERRORS = ("timeout", "E_LOCKED: local mode", "setpoint out of range", "busy: defrosting")
ONLINE, OFFLINE = "online", "offline"
FIRMWARE = ("1.2.3", "1.3.0", "2.0.1")


class Device:
    """A device, by its index in the fleet; the same random source makes the same device."""

    def __init__(self, number: int, tenant: str, rng: Random, *, is_commanded: bool = False) -> None:
        """`is_commanded`: a backend decides when it sends ACKs; otherwise it sends them by itself."""
        self.number, self._rng = number, rng
        self._is_commanded = is_commanded
        self._room = Room(PROFILES[number % len(PROFILES)], rng)
        self._is_parsec = number % PARSEC_EVERY == PARSEC_EVERY - 1
        self._has_ids = rng.random() < 0.5  # whether its events have an event_id
        self._is_terse = rng.random() < 0.3  # whether it omits the types of its points
        self._firmware = rng.choice(FIRMWARE)
        self._command: str | None = None
        self._has_fault = False
        self._events: deque[tuple[str, Body]] = deque([("boot", {"fw": self._firmware, "cause": "power_on"})])
        name = f"{'parsec' if self._is_parsec else self._room.profile.name}-{number + 1:04d}"
        self._prefix = f"{ROOT}/{tenant}/site-{number // DEVICES_A_SITE + 1:02d}/{name}"

    def step(self, seconds: float) -> None:
        """Advance the time: the room changes, and events are queued to be reported."""
        door, was_too_warm = self._room.door, self._room.too_warm
        self._room.step(seconds)
        if self._room.door != door:
            self._report("door_open" if self._room.door else "door_close", {"door": "main"})
        if self._room.too_warm and not was_too_warm:
            self._report("alarm", {"code": "HIGH_TEMP", "value": round(self._room.air, 2), "u": "°C"})
        if self._rng.random() < ALARM_SHARE:
            self._has_fault = not self._has_fault
            self._report("alarm", {"code": "COMPRESSOR_FAULT", "active": self._has_fault})

    def message(self, ts: datetime) -> Message:
        """What it sends now: an event that is due, sometimes an ACK, mostly readings."""
        if self._events:
            return self._event(ts)
        if not self._is_commanded and self._rng.random() < ACK_SHARE:
            return self._ack(ts)
        body, points = self.telemetry(ts)
        return self.message_of("telem", ts, encode(body))._replace(points=points)

    def bad(self, ts: datetime, chance: Random) -> Message:
        """Readings with something wrong with them."""
        fault = pick(chance)
        body, _ = self.telemetry(ts)
        message = self.message_of("telem", ts, fault.spoil(body, ts))
        return message._replace(fault=fault.name, error_class=fault.error_class)

    def message_of(self, kind: str, ts: datetime, payload: bytes) -> Message:
        """A message from this device."""
        return Message(f"{self._prefix}/{kind}", payload, kind, ts, self.number)

    def command(self, ts: datetime, cmd_id: str, setpoint: float) -> Message:
        """What a backend sends to it: another setpoint, in °C."""
        payload = encode(cmd_v1(ts, cmd_id, "set_setpoint", {"value": setpoint, "u": "°C"}))
        return self.message_of("cmd", ts, payload)._replace(cmd_id=cmd_id)

    def ack(self, ts: datetime, cmd_id: str, setpoint: float, err: str | None) -> Message:
        """The ACK of such a command, which it executes unless there is an error."""
        if err is None:
            self._room.setpoint = setpoint
        return self._acknowledges(ts, cmd_id, err)

    def setpoint(self, rng: Random) -> float:
        """A setpoint for a command, in °C."""
        return self._room.profile.setpoint + rng.choice((-0.5, 0.0, 0.5))

    def state(self, ts: datetime, state: str) -> Message:
        """Retained, so that later subscribers receive it as well."""
        return self.message_of("state", ts, encode(state_v1(ts, state)))._replace(retain=True)

    def last_will(self) -> tuple[str, bytes]:
        """Topic and payload of the message that the broker publishes if the connection is lost."""
        return f"{self._prefix}/state", encode(state_v1(None, OFFLINE))

    def telemetry(self, ts: datetime) -> tuple[Body, int]:
        """Its readings in its own format, and the number of points they make."""
        if self._is_parsec:
            return parsec_v1(ts, self._room.compressor, self._has_fault, round(self._room.rssi), self._firmware), 3
        points = self._points()
        return telem_v1(ts, points, {"fw": self._firmware, "model": self._room.profile.name}), len(points)

    def _points(self) -> list[Body]:
        room, rng = self._room, self._rng
        humidity = None if rng.random() < MUTE_SHARE else round(room.humidity, 1)
        points = [
            point("temp_air", round(room.air + rng.gauss(0, 0.05), 2), "float", "°C"),
            point("temp_evap", round(room.evaporator + rng.gauss(0, 0.1), 2), self._type("float"), "°C"),
            point("setpoint", room.setpoint, self._type("num"), "°C"),
            point("humidity", humidity, self._type("num"), "%"),
            point("power", round(room.power * rng.gauss(1, 0.02), 1), self._type("float"), "W"),
            point("rssi", round(room.rssi), self._type("int"), "dBm"),
            point("compressor", room.compressor, self._type("bool")),
            point("door", int(room.door), "bool"),
            point("status", self._status(), "enum"),
        ]
        return [*points, point("defrost", room.defrosting, self._type("bool"))] if room.freezes else points

    def _type(self, name: str) -> str | None:
        return None if self._is_terse else name

    def _status(self) -> str:
        if self._has_fault:
            return "FAULT"
        if self._room.defrosting:
            return "DEFROST"
        return "RUN" if self._room.compressor else "STOP"

    def _report(self, event_type: str, data: Body) -> None:
        self._events.append((event_type, data))

    def _event(self, ts: datetime) -> Message:
        event_type, data = self._events.popleft()
        event_id = ulid(ts, self._rng) if self._has_ids else None
        return self.message_of("event", ts, encode(event_v1(ts, event_type, event_id, data)))

    def _ack(self, ts: datetime) -> Message:
        if self._command is None or self._rng.random() >= REPEATED_SHARE:
            self._command = ulid(ts, self._rng)
        err = error(self._rng)
        if err is None:
            self._room.setpoint = self.setpoint(self._rng)
        return self._acknowledges(ts, self._command, err)

    def _acknowledges(self, ts: datetime, cmd_id: str, err: str | None) -> Message:
        return self.message_of("ack", ts, encode(ack_v1(ts, cmd_id, err)))._replace(cmd_id=cmd_id)


def error(rng: Random) -> str | None:
    """Why a command can't be executed; None for most commands."""
    return rng.choice(ERRORS) if rng.random() < FAILED_SHARE else None
