"""What a refrigerated or air-conditioned room does, second by second.

The machine (a compressor and its evaporator) cools the air; the walls and an open door warm it. The evaporator
cools down and warms up slowly, so the room overshoots both edges of the thermostat's band.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from random import Random

STEP_S = 5.0  # a longer time is cut into such steps, far below each time constant here
LONGEST_S = 86_400.0  # of a longer time without readings only the last day is computed
EVAPORATOR_TAU_S = 90.0
DOOR_TAU_S = 900.0  # how fast the air outside comes in
IDLE_COUPLING = 0.1  # how strongly the evaporator cools the air while its fan stands still
DEFROST_AT_C = 8.0
DEFROST_S = 600.0
FAN_W = 60.0
HEATER_W = 900.0
OPENED_EVERY_S, OPEN_FOR_S, OPEN_AT_MOST_S = 150.0, 20.0, 60.0
# The probability that a step moves the door: a short, fast run has door events too, a slow one not only those.
OPENS, CLOSES = (0.01, 0.05), (0.05, 0.5)
VARIATION_TAU_S = 300.0


@dataclass(frozen=True, slots=True)
class Profile:
    """A kind of installation; temperatures in °C, time constants in s, power in W, humidity in %."""

    name: str
    setpoint: float
    band: float  # the thermostat allows this distance from the setpoint
    outside: float
    depth: float  # how far below the setpoint the evaporator gets
    wall_tau: float
    air_tau: float
    power: float
    humidity: float
    defrost_every: float  # s; infinite where nothing freezes
    alarm_above: float  # degrees over the setpoint


COLD_ROOM = Profile("cold-room", 4.0, 0.75, 22.0, 12.0, 7200.0, 1500.0, 1400.0, 82.0, 14_400.0, 4.0)
FREEZER = Profile("freezer", -18.0, 1.0, 22.0, 14.0, 14_400.0, 1000.0, 2200.0, 70.0, 14_400.0, 8.0)
HVAC = Profile("hvac", 22.0, 0.6, 31.0, 10.0, 3600.0, 1200.0, 3500.0, 48.0, math.inf, 4.0)
PROFILES = (COLD_ROOM, FREEZER, HVAC)


@dataclass(slots=True)
class Room:
    """A room and its machine, between two readings. Only `step` changes it."""

    profile: Profile
    rng: Random
    setpoint: float = field(init=False)
    air: float = field(init=False)  # °C
    evaporator: float = field(init=False)  # °C
    humidity: float = field(init=False)  # %
    rssi: float = field(init=False)  # dBm
    until_defrost: float = field(init=False)  # s; negative while it lasts
    compressor: bool = False
    door: bool = False

    def __post_init__(self) -> None:
        profile, rng = self.profile, self.rng
        self.setpoint = profile.setpoint
        self.air = self.evaporator = profile.setpoint + rng.uniform(-profile.band, profile.band)
        self.compressor = rng.random() < 0.5
        self.humidity = profile.humidity
        self.rssi = rng.uniform(-80, -55)
        self.until_defrost = rng.uniform(0, profile.defrost_every) if self.freezes else math.inf

    @property
    def freezes(self) -> bool:
        return math.isfinite(self.profile.defrost_every)

    @property
    def defrosting(self) -> bool:
        return self.until_defrost < 0

    @property
    def too_warm(self) -> bool:
        return self.air > self.setpoint + self.profile.alarm_above

    @property
    def power(self) -> float:
        """W, without the meter's noise."""
        if self.defrosting:
            return HEATER_W
        return FAN_W + (self.profile.power if self.compressor else 0.0)

    def step(self, seconds: float) -> None:
        """Advance the time."""
        self._move_door(seconds)
        seconds, past = min(seconds, LONGEST_S), 0.0
        while past < seconds:
            dt = min(seconds - past, STEP_S)
            self._defrost(dt)
            self._thermostat()
            self._exchange_heat(dt, self.door and past < OPEN_AT_MOST_S)
            past += dt
        self._vary(seconds)

    def _move_door(self, seconds: float) -> None:
        (least, most), every = (CLOSES, OPEN_FOR_S) if self.door else (OPENS, OPENED_EVERY_S)
        if self.rng.random() < min(most, max(least, seconds / every)):
            self.door = not self.door

    def _defrost(self, dt: float) -> None:
        self.until_defrost -= dt
        if self.until_defrost < -DEFROST_S:
            self.until_defrost = self.profile.defrost_every

    def _thermostat(self) -> None:
        if self.defrosting or self.air < self.setpoint - self.profile.band:
            self.compressor = False
        elif self.air > self.setpoint + self.profile.band:
            self.compressor = True

    def _exchange_heat(self, dt: float, is_open: bool) -> None:
        profile, outside = self.profile, self.profile.outside
        source = DEFROST_AT_C if self.defrosting else self.setpoint - profile.depth if self.compressor else self.air
        self.evaporator += (source - self.evaporator) * dt / EVAPORATOR_TAU_S
        coupling = 1.0 if self.compressor else IDLE_COUPLING
        flow = (outside - self.air) / profile.wall_tau + coupling * (self.evaporator - self.air) / profile.air_tau
        if is_open:
            flow += (outside - self.air) / DOOR_TAU_S
        self.air += flow * dt

    def _vary(self, seconds: float) -> None:
        """Humidity and signal vary around their means; drier while the compressor runs, damper with the door open."""
        mean = self.profile.humidity - (8 if self.compressor else 0) + (10 if self.door else 0)
        self.humidity = min(99.0, max(5.0, self._varied(self.humidity, mean, 1.5, seconds)))
        self.rssi = min(-40.0, max(-95.0, self._varied(self.rssi, -68.0, 4.0, seconds)))

    def _varied(self, value: float, mean: float, sigma: float, seconds: float) -> float:
        """An Ornstein-Uhlenbeck process: the same spread, whatever the interval of the readings."""
        pull = 1 - math.exp(-seconds / VARIATION_TAU_S)
        return value + (mean - value) * pull + self.rng.gauss(0, sigma * math.sqrt(pull * (2 - pull)))
