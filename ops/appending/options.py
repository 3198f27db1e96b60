"""The options of the commands that append messages: how much, how fast."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from traksense_ingest.ops.help import option

F = TypeVar("F", bound=Callable[..., Any])

PACE = "How much, how fast"
RATE = 500.0  # messages/s
RATE_MAX = 100_000.0  # messages/s; no stream takes more


def limit(verb: str) -> Callable[[F], F]:
    """--limit, for a command that does what `verb` says, as in `Replay`."""
    help_ = f"{verb} at most this many messages."
    return option("--limit", section=PACE, type=click.IntRange(1), show_default="no limit", help=help_)


def rate(verb: str) -> Callable[[F], F]:
    """--rate, likewise."""
    range_ = click.FloatRange(0, RATE_MAX, min_open=True)
    return option("--rate", section=PACE, type=range_, default=RATE, help=f"{verb} at most this many messages/s.")
