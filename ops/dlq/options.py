"""The values of the commands' options, and the options that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click

from traksense_ingest.ops.help import moment_of, option
from traksense_ingest.shared.messages import POISON_REASONS

F = TypeVar("F", bound=Callable[..., Any])

ID = click.IntRange(1, 2**63 - 1)
WHICH = "Which dead letters"
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_LONGEST_S = 36_525 * 86_400


def duration(text: str) -> timedelta:
    """90s, 15m, 12h, 30d or 4w; raises ValueError."""
    found = re.fullmatch(r"([0-9]{1,9})([smhdw])", text)
    if not found:
        raise ValueError(f"{text!r} is no duration, such as 90s, 15m, 12h, 30d or 4w")
    seconds = int(found[1]) * _SECONDS[found[2]]
    if seconds > _LONGEST_S:
        raise ValueError(f"{text!r} is more than a hundred years")
    return timedelta(seconds=seconds)


def age(_ctx: click.Context, _param: click.Parameter, value: str) -> timedelta:
    """A duration; raises BadParameter."""
    try:
        return duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def when(_ctx: click.Context, _param: click.Parameter, value: str | None) -> datetime | None:
    """A duration before now, or an RFC 3339 timestamp; raises BadParameter."""
    try:
        return None if value is None else time_of(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def time_of(text: str) -> datetime:
    """A duration before now, or an RFC 3339 timestamp, in UTC; raises ValueError."""
    try:
        before_now = duration(text)
    except ValueError:
        return moment_of(text)
    return datetime.now(UTC) - before_now


tenant = option("--tenant", section=WHICH, help="Of this tenant.")
reason = option(
    "--reason",
    section=WHICH,
    type=click.Choice(POISON_REASONS),
    metavar="CLASS",
    help=f"Of this class: {', '.join(POISON_REASONS)}.",
)
since = option(
    "--since",
    section=WHICH,
    callback=when,
    metavar="TIME",
    help="From then on: 2h, 3d, or 2025-10-07T15:30:00Z.",
)
until = option("--until", section=WHICH, callback=when, metavar="TIME", help="Before then.")
text = option(
    "--text", section=WHICH, help="With this text in the reason or the topic; upper and lower case are the same."
)
device = option(
    "--device",
    section=WHICH,
    metavar="NAME",
    help="With this level in the topic, or several for a name with slashes; tenant/NAME is of one tenant.",
)


def selectors(command: F) -> F:
    """--tenant, --reason, --device, --text, --since and --until."""
    return tenant(reason(device(text(since(until(command))))))


def replayed_or_not(command: F) -> F:
    """--replayed and --not-replayed."""
    help_ = "Only those that were replayed, or were not."
    return option("--replayed/--not-replayed", "replayed", section=WHICH, default=None, help=help_)(command)
