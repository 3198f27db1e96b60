"""A simulated room obeys its thermostat, and physics, at any sampling rate."""

from __future__ import annotations

from copy import copy
from itertools import pairwise
from random import Random

import pytest

from traksense_ingest.ops.simulate.signals import DEFROST_AT_C, PROFILES, Profile, Room

HOUR_S = 3600.0

every_profile = pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)


def watched(profile: Profile, step: float, seconds: float) -> list[Room]:
    """The room as it was after each step."""
    room, seen = Room(profile, Random(3)), []
    for _ in range(int(seconds / step)):
        room.step(step)
        seen.append(copy(room))
    return seen


@every_profile
@pytest.mark.parametrize("step", [0.01, 1.0, 60.0, 5000.0])
def test_it_stays_within_what_its_surroundings_allow(profile: Profile, step: float) -> None:
    for room in watched(profile, step, min(24 * HOUR_S, 20_000 * step)):
        coldest = profile.setpoint - profile.depth
        assert coldest < room.air < profile.outside
        assert coldest <= room.evaporator <= max(profile.outside, DEFROST_AT_C)
        assert 5 <= room.humidity <= 99
        assert -95 <= room.rssi <= -40


@every_profile
def test_the_compressor_cycles_a_few_times_an_hour(profile: Profile) -> None:
    states = [room.compressor for room in watched(profile, 5.0, 24 * HOUR_S)]
    starts = sum(now and not before for before, now in pairwise(states))
    assert 24 <= starts <= 24 * 8


@every_profile
def test_the_air_is_mostly_where_the_thermostat_wants_it(profile: Profile) -> None:
    off = [abs(room.air - profile.setpoint) for room in watched(profile, 5.0, 24 * HOUR_S)]
    assert sum(degrees < profile.band + 0.5 for degrees in off) > 0.7 * len(off)


def test_nothing_jumps() -> None:
    rooms = watched(PROFILES[0], 1.0, 8 * HOUR_S)
    for before, now in pairwise(rooms):
        assert abs(now.air - before.air) < 0.1
        assert abs(now.evaporator - before.evaporator) < 0.5


def test_the_evaporator_is_slow_to_turn_cold() -> None:
    room = at_setpoint()
    room.air = room.setpoint + 1
    room.step(5.0)
    assert room.compressor
    assert room.evaporator > room.setpoint - 2
    for _ in range(60):
        room.step(5.0)
    assert room.evaporator < room.setpoint - 8


def test_an_open_door_warms_the_room() -> None:
    shut, opened = at_setpoint(), at_setpoint()
    opened.door = True
    for room in (shut, opened):
        room._exchange_heat(5.0, room.door)
    assert opened.air > shut.air + 0.05


def test_it_defrosts_every_few_hours_with_the_compressor_off() -> None:
    rooms = watched(PROFILES[0], 5.0, 24 * HOUR_S)
    defrosting = [room for room in rooms if room.defrosting]
    assert 0.02 < len(defrosting) / len(rooms) < 0.06
    assert not any(room.compressor for room in defrosting)
    assert max(room.evaporator for room in defrosting) > 0


def at_setpoint() -> Room:
    room = Room(PROFILES[0], Random(1))
    room.air = room.evaporator = room.setpoint
    room.compressor, room.until_defrost = False, HOUR_S
    return room
