"""`traksense-ingest simulate` from its options to its report."""

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
from ops.simulate.options import Failed, tenants_of
from ops.simulate.publish import connections_for, publish
from ops.simulate.report import Report
from ops.simulate.tally import Tally
from shared import config
from shared.config import ConfigError, Settings
from shared.outage import Misconfigured


def session(
    *,
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
    """Publish, and say what to expect; the parameters are the command's options. Raises Failed."""
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
