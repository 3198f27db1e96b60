"""The signs that a fault took effect: a figure that grows while the fault lasts.

A fault that changes nothing proves nothing, however well the pipeline survives it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from tests.chaos.pipeline import Pipeline

Figures = Mapping[int, float]


@dataclass(frozen=True)
class Sign:
    """What it means, in words, when the figure has not grown; and how to read it, by process."""

    what: str
    read: Callable[[Pipeline], Awaitable[Figures]]


def has_grown(before: Figures, after: Figures) -> bool:
    """Whether a figure has increased; a new one started at 0."""
    return any(figure > before.get(who, 0) for who, figure in after.items())


def counted(name: str, **labels: str) -> Sign:
    """A counter of the services."""

    async def read(pipeline: Pipeline) -> Figures:
        processes = [service.process for service in pipeline.services if not service.is_frozen]
        figures = await asyncio.gather(
            *(asyncio.to_thread(process.metric, name, **labels) for process in processes),
        )
        # By process: the next one's counter starts at 0.
        return {process.popen.pid: figure for process, figure in zip(processes, figures, strict=True)}

    return Sign(f"{name}{labels or ''} has not grown on any service", read)


def error(reason: str) -> Sign:
    """A service has counted an outage: mqtt_error, redis_error or db_error."""
    return counted("ingest_errors_total", reason=reason)


def logged_by_receivers(*texts: str) -> Sign:
    """A receiver has logged one of them."""

    async def read(pipeline: Pipeline) -> Figures:
        logs = {receiver.process.popen.pid: receiver.process.log for receiver in pipeline.receivers}
        return {who: sum(log.count(text) for text in texts) for who, log in logs.items()}

    return Sign(f"no receiver has logged {' or '.join(map(repr, texts))}", read)


def logged_by_database(text: str) -> Sign:
    """PostgreSQL has logged it: a service logs no more than the first error of an outage."""

    async def read(pipeline: Pipeline) -> Figures:
        return {0: pipeline.postgres.log_path.read_text(errors="replace").count(text)}

    return Sign(f"PostgreSQL has not logged {text!r}", read)


def disturbed(link: str) -> Sign:
    """A proxy has held data, or passed it more slowly than it came; that need not end in a time-out of a service."""

    async def read(pipeline: Pipeline) -> Figures:
        return {0: pipeline.links[link].disturbed}

    return Sign(f"nothing between the services and the {link} was delayed", read)
