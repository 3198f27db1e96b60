"""One run of `traksense-ingest simulate`: its options, the fleet's messages over real connections, and its report."""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import aiomqtt
import click
from rich.console import Console

from traksense_ingest.ops.progress import on_stderr, publish_columns
from traksense_ingest.ops.simulate.device import OFFLINE, ONLINE, Device
from traksense_ingest.ops.simulate.fleet import Fleet, Plan
from traksense_ingest.ops.simulate.formats import examples
from traksense_ingest.ops.simulate.lane import Lane, Notice, Presence
from traksense_ingest.ops.simulate.report import Report, Tally
from traksense_ingest.shared import config
from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.messages import NAME_MAX, plain, topic_of
from traksense_ingest.shared.runtime.service import unless_stopped
from traksense_ingest.shared.runtime.tasks import raise_sole_error

OWN_CONNECTIONS_MAX = 200  # devices that by default have a connection each
OVERTIME_S = 1.0  # how long beyond its duration a run may take that is behind schedule
CLOSE_S = 1.0  # how long disconnecting may take
GRACE_S = 5.0  # how long the last PUBACKs may take, when the run has to end


class Failed(click.ClickException):
    """One line on stderr, exit code 2."""

    exit_code = 2


def session(
    *,
    devices: int,
    rate: float,
    duration: float | None,
    messages: int | None,
    bad: float,
    unanswered: float,
    tenant: str,
    tenants: int,
    formats: tuple[str, ...],
    seed: int | None,
    start: datetime | None,
    connections: int | None,
    progress: bool,
    as_json: bool,
) -> None:
    """Publish, and print what to expect; the parameters are the command's options. Raises Failed."""
    settings = config.load()
    _check_start(start, settings)
    names = tenants_of(tenant, tenants)
    are_stored = {kind: not formats and is_subscribed(settings, names, kind) for kind in ("state", "cmd")}
    number = min(connections or connections_for(rate, devices, are_stored["state"]), devices)
    plan = Plan(
        start=start or datetime.now(UTC),
        seed=secrets.randbits(32) if seed is None else seed,
        devices=devices,
        rate=rate,
        tenants=names,
        bad=bad,
        states=are_stored["state"] and number == devices,
        commands=are_stored["cmd"],
        unanswered=unanswered,
        examples=examples(formats, names[0], settings, with_bad=bad > 0),
        messages=messages,
        duration=duration,
    )
    report = _run(settings, plan, number, start is None, progress and sys.stdout.isatty())
    _print(report, as_json)


def tenants_of(name: str, number: int) -> tuple[str, ...]:
    """The names of this many tenants; raises Failed if one is too long."""
    names = (name,) if number == 1 else tuple(f"{name}-{index}" for index in range(1, number + 1))
    if len(names[-1]) > NAME_MAX:
        raise Failed(f"--tenant: {names[-1]!r} has more than {NAME_MAX} characters")
    return names


def is_subscribed(settings: Settings, tenants: Iterable[str], kind: str) -> bool:
    """Whether receivers with these MQTT_TOPICS store what devices of these tenants send of a kind."""
    topics = [aiomqtt.Topic(topic_of(tenant, "site-01", "device", kind)) for tenant in tenants]
    return all(any(topic.matches(name) for name in plain(settings.mqtt_topics)) for topic in topics)


def _check_start(start: datetime | None, settings: Settings) -> None:
    latest = datetime.now(UTC) + timedelta(seconds=settings.ingest_max_future_s)
    if start is not None and start > latest:
        raise Failed(f"--start: more than INGEST_MAX_FUTURE_S={settings.ingest_max_future_s} s ahead of now")


def _run(settings: Settings, plan: Plan, connections: int, starts_now: bool, shows_bar: bool) -> Report:
    return asyncio.run(_publish(settings, plan, connections, starts_now, shows_bar))


async def _publish(settings: Settings, plan: Plan, connections: int, starts_now: bool, shows_bar: bool) -> Report:
    stop, tally = asyncio.Event(), Tally()
    for signum in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(ValueError):  # not in the main thread: signals never arrive there
            asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    reporter = on_stderr(plan.limit, publish_columns())
    async with reporter.bar(lambda: tally.published) if shows_bar else contextlib.nullcontext():
        return await publish(settings, plan, connections, tally, stop, reporter.say, starts_now)


def _print(report: Report, as_json: bool) -> None:
    if as_json:
        click.echo(report.as_json())
    else:
        report.show(Console(highlight=False))


async def publish(
    settings: Settings,
    plan: Plan,
    connections: int,
    tally: Tally,
    stop: asyncio.Event,
    say: Callable[[str], None],
    starts_now: bool = False,
) -> Report:
    """Publish what is planned, or until `stop`; counts in the tally what got its PUBACK.

    The plan begins when every connection is made, and with `starts_now` its timestamps do too. Raises
    ConfigurationError if the broker rejects the connection or its certificate can't be trusted.
    """
    started = datetime.now(UTC)
    clock = asyncio.get_running_loop().time
    started_at = clock()
    fleet = Fleet(plan)

    def now() -> datetime:
        return plan.start + timedelta(seconds=clock() - started_at)

    presences = [_presence(device, now) for device in fleet.devices] if plan.states else [None] * connections
    async with _lanes(settings, presences, tally, Notice(settings, say)) as lanes:
        if await unless_stopped(stop, _connected(lanes)):
            started, started_at = datetime.now(UTC), clock()
            plan = replace(plan, start=started) if starts_now else plan
            _say(plan, fleet, lanes, ONLINE, plan.start)
            await unless_stopped(stop, _feed(plan, fleet, lanes))
            _say_last(plan, fleet, lanes, now() if tally.last_wills else None)
            await _drain(plan, lanes, stop)
    return Report(plan, tally, started, clock() - started_at)


def connections_for(rate: float, devices: int, states: bool) -> int:
    """How many connections a fleet takes by default: 1 to 4, one for each 500 messages/s. With states each of up to 200
    devices has one, since a connection has one last will."""
    if states and devices <= OWN_CONNECTIONS_MAX:
        return devices
    return min(4, max(1, math.ceil(rate / 500)), devices)


@asynccontextmanager
async def _lanes(
    settings: Settings, presences: Sequence[Presence | None], tally: Tally, notice: Notice
) -> AsyncIterator[Sequence[Lane]]:
    name = f"simulate-{secrets.token_hex(4)}"  # with the number no more than the 23 characters of MQTT 3.1
    lanes = [Lane(settings, f"{name}-{index}", tally, notice, each) for index, each in enumerate(presences)]
    try:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(lane.run(), name=f"lane {index}") for index, lane in enumerate(lanes)]
            yield lanes
            for lane in lanes:
                lane.close()
            _, late = await asyncio.wait(running, timeout=CLOSE_S)
            for task in late:
                task.cancel()
    except BaseExceptionGroup as group:
        raise_sole_error(group)
    tally.unconfirmed = sum(lane.unconfirmed for lane in lanes)


async def _connected(lanes: Sequence[Lane]) -> bool:
    return all([await lane.connected.wait() for lane in lanes])


def _presence(device: Device, now: Callable[[], datetime]) -> Presence:
    return Presence(device.last_will(), lambda: device.state(now(), ONLINE))


def _say(plan: Plan, fleet: Fleet, lanes: Sequence[Lane], state: str, ts: datetime) -> None:
    for device in fleet.devices if plan.states else ():
        lanes[device.number].say(device.state(ts, state))


async def _feed(plan: Plan, fleet: Fleet, lanes: Sequence[Lane]) -> None:
    clock = asyncio.get_running_loop().time
    started_at = clock()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(None if plan.duration is None else plan.duration + OVERTIME_S):
            for index, message in enumerate(fleet.messages(plan.start)):
                early = started_at + plan.due(index) - clock()
                if early > 0:
                    await asyncio.sleep(early)
                await lanes[message.device % len(lanes)].put(message)


def _say_last(plan: Plan, fleet: Fleet, lanes: Sequence[Lane], now: datetime | None) -> None:
    """The ACKs of a sequence that ended early, and the state offline of all devices. Its time is `now` after a lost
    connection, because it must be later than the state online of the new connection; else that of the next message."""
    for ack in fleet.unanswered():
        lanes[ack.device % len(lanes)].say(ack)
    _say(plan, fleet, lanes, OFFLINE, now or fleet.now)


async def _drain(plan: Plan, lanes: Sequence[Lane], stop: asyncio.Event) -> None:
    """Wait for the last PUBACKs: as long as it takes if only a number of messages was asked for."""
    if plan.duration is None and await unless_stopped(stop, _idle(lanes)):
        return
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(GRACE_S):
            await _idle(lanes)


async def _idle(lanes: Sequence[Lane]) -> bool:
    return all([await lane.idle.wait() for lane in lanes])
