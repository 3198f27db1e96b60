"""The command line of `traksense-ingest simulate`."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import sys
from datetime import UTC, datetime, timedelta

import click
from rich.console import Console

from ops.simulate.bar import bar
from ops.simulate.fleet import Plan
from ops.simulate.options import Failed, OneLine, moment, tenant_name, tenants_of
from ops.simulate.publish import connections_for, publish
from ops.simulate.report import Report
from ops.simulate.tally import Tally
from shared import config
from shared.config import ConfigError, Settings
from shared.outage import Misconfigured

RATE_MAX = 100_000.0  # messages/s; keeps the timestamps of a device at least 10 µs apart


@click.command(cls=OneLine)
@click.option("--devices", type=click.IntRange(1, 100_000), default=20, show_default=True, help="How many devices.")
@click.option(
    "--rate",
    type=click.FloatRange(0, RATE_MAX, min_open=True),
    default=20.0,
    show_default=True,
    help="Messages/s of all devices together.",
)
@click.option("--duration", type=click.FloatRange(0, min_open=True), help="Stop after so many seconds.")
@click.option("--messages", type=click.IntRange(1), help="Stop after so many messages.")
@click.option(
    "--bad", type=click.FloatRange(0, 1), default=0.0, show_default=True, help="The share of bad messages, 0 to 1."
)
@click.option("--tenant", callback=tenant_name, default="demo", show_default=True, help="The tenant in the topics.")
@click.option(
    "--tenants",
    type=click.IntRange(1, 10_000),
    default=1,
    show_default=True,
    help="Share the devices out among so many tenants: demo-1, demo-2, …",
)
@click.option("--seed", type=int, help="Repeat a run: same seed and options, same messages.  [default: random]")
@click.option("--start", callback=moment, help="The first timestamp, as 2025-10-07T15:30:00Z.  [default: now]")
@click.option(
    "--connections",
    type=click.IntRange(1, 1000),
    help="MQTT connections; a device keeps to its own.  [default: 1 to 4, by the rate]",
)
@click.option("--progress/--no-progress", default=True, help="A progress bar, where stdout is a terminal.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
def simulate(
    devices: int,
    rate: float,
    duration: float | None,
    messages: int | None,
    bad: float,
    tenant: str,
    tenants: int,
    seed: int | None,
    start: datetime | None,
    connections: int | None,
    progress: bool,
    as_json: bool,
) -> None:
    """Publish as a fleet of refrigerators, cold rooms and HVAC units would, then say what to expect.

    The broker is the one in the environment or .env: MQTT_URL, MQTT_USERNAME, MQTT_PASSWORD,
    MQTT_PROTOCOL, MQTT_TLS_CA, MQTT_TLS_CERT, MQTT_TLS_KEY. Messages go out at QoS 1; one counts when
    its PUBACK is there, and is sent again when the connection is lost before.

    At the end, Ctrl-C included, a table says how many rows each database table should have, with the
    SQL to compare. Events and ACKs come along with the telemetry, bad messages if you ask for them.

    \b
    A minute of 50 devices, one message in a hundred bad:
        traksense-ingest simulate --devices 50 --rate 100 --duration 60 --bad 0.01
    \b
    The same 10 000 messages each time, at once, for a script:
        traksense-ingest simulate --seed 7 --messages 10000 --rate 2000 --json

    Timestamps follow the rate: after an outage the devices catch up on what they measured meanwhile.
    With the same --seed, only times and the ids made of them differ between runs; --start fixes these too.
    """
    settings = _settings()
    _check_start(start, settings)
    plan = Plan(
        start=start or datetime.now(UTC),
        seed=secrets.randbits(32) if seed is None else seed,
        devices=devices,
        rate=rate,
        tenants=tenants_of(tenant, tenants),
        bad=bad,
        messages=messages,
        duration=duration,
    )
    number = min(connections or connections_for(rate, devices), devices)
    report = _run(settings, plan, number, start is None, progress and sys.stdout.isatty())
    _print(report, as_json)


def _settings() -> Settings:
    try:
        return config.load()
    except ConfigError as error:
        raise Failed(str(error)) from None


def _check_start(start: datetime | None, settings: Settings) -> None:
    latest = datetime.now(UTC) + timedelta(seconds=settings.ingest_max_future_s)
    if start is not None and start > latest:
        raise Failed(f"--start: more than INGEST_MAX_FUTURE_S={settings.ingest_max_future_s} s ahead of now")


def _run(settings: Settings, plan: Plan, connections: int, starts_now: bool, shows_bar: bool) -> Report:
    try:
        return asyncio.run(_publish(settings, plan, connections, starts_now, shows_bar))
    except Misconfigured as error:
        raise Failed(str(error)) from None


async def _publish(settings: Settings, plan: Plan, connections: int, starts_now: bool, shows_bar: bool) -> Report:
    stop, tally = asyncio.Event(), Tally()
    for signum in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(ValueError):  # not in the main thread: nobody can signal us there
            asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    async with bar(plan.limit, tally, shows_bar) as say:
        return await publish(settings, plan, connections, tally, stop, say, starts_now)


def _print(report: Report, as_json: bool) -> None:
    if as_json:
        click.echo(report.as_json())
    else:
        report.show(Console(highlight=False))
