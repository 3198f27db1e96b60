"""How it shows that a fault has bitten: a figure that must have grown by the time that the pipeline has recovered.

A fault that changes nothing proves nothing, however well the pipeline gets through it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from tests.chaos.pipeline import Pipeline

Figures = Mapping[int, float]


@dataclass(frozen=True)
class Sign:
    """What is counted, in words, and how to read it: a figure for each who counts."""

    what: str
    look: Callable[[Pipeline], Awaitable[Figures]]


def has_grown(before: Figures, after: Figures) -> bool:
    """Whether somebody has counted more; who is new has begun at 0."""
    return any(figure > before.get(who, 0) for who, figure in after.items())


def counted(name: str, **labels: str) -> Sign:
    """A counter of the services."""

    async def look(pipeline: Pipeline) -> Figures:
        processes = [service.process for service in pipeline.services]
        figures = await asyncio.gather(
            *(asyncio.to_thread(process.metric, name, **labels) for process in processes),
        )
        # By process: the next one's counter begins at 0.
        return {process.popen.pid: figure for process, figure in zip(processes, figures, strict=True)}

    return Sign(f"{name}{labels or ''} has not grown on any service", look)


def error(reason: str) -> Sign:
    """A service has met an outage: mqtt_error, redis_error or db_error."""
    return counted("ingest_errors_total", reason=reason)


def told_by_database(text: str) -> Sign:
    """PostgreSQL has told somebody so, by its log: a service names no more than the first error of an outage."""

    async def look(pipeline: Pipeline) -> Figures:
        return {0: pipeline.postgres.log_path.read_text(errors="replace").count(text)}

    return Sign(f"PostgreSQL has told nobody {text!r}", look)


def disturbed(link: str) -> Sign:
    """A proxy has held data, or passed it more slowly than it came; no time-out of a service need have noticed."""

    async def look(pipeline: Pipeline) -> Figures:
        return {0: pipeline.links[link].disturbed}

    return Sign(f"nothing that passed between the services and the {link} was held up", look)
