"""What a fault is, and those that any connection may have."""

from __future__ import annotations

from dataclasses import dataclass

from tests.chaos.inflict import Inflict, linked
from tests.chaos.pipeline import Pipeline
from tests.chaos.service import Service
from tests.chaos.signs import Sign, disturbed, error


@dataclass(frozen=True)
class Fault:
    """One way in which something breaks."""

    name: str
    inflict: Inflict
    sign: Sign | None = None  # that it took effect; None where it always does: a process is killed or stopped
    lasts_s: float = 2.0  # at least: it goes on until the sign has been seen
    passes_by_itself: bool = False  # the block's end undoes nothing: recovery counts from `lasts_s` on
    is_slow: bool = False  # over only after a time-out: not in the short form
    ends_broker: bool = False  # only for one that keeps its sessions
    ends_pooler: bool = False  # only where there is one
    of_console: bool = False  # only where one runs
    shown: str = ""  # what the console's verdict names until it is over, in lower case; nothing of what is over soon


DOWN = {"broker": error("mqtt_error"), "redis": error("redis_error"), "database": error("db_error")}


def of_link(link: str, *, is_slow: bool) -> list[Fault]:
    """A stall and slowness are over before any time-out: only the proxy sees their effect."""
    return [
        Fault(f"{link} connection: reset", linked(link, "resets"), DOWN[link], shown=link),
        Fault(f"{link} connection: stalled", linked(link, "stalls"), disturbed(link)),
        Fault(f"{link} connection: slow", linked(link, "is_slow"), disturbed(link)),
        Fault(
            f"{link} connection: half-open",
            linked(link, "goes_half_open"),
            DOWN[link],
            passes_by_itself=True,
            is_slow=is_slow,
        ),
    ]


def receivers(pipeline: Pipeline) -> list[Service]:
    """One of which is killed."""
    return pipeline.receivers
