"""What a batch has to say that is not in the table yet, and when it is worth to ask."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import chain, repeat
from typing import Any

from writer import sql
from writer.outcome import Measure

Messages = Sequence[Sequence[Measure]]  # the rows of each, one at least

# A COPY that is refused costs what it has stored until then; asking costs a tenth of it.
WARY_BATCHES = 8
NEARLY_ALL = 0.9


class Wariness:
    """Duplicates come in swarms: after a crash, after a reconnection, from a device that sends everything twice."""

    def __init__(self) -> None:
        self._batches = 0
        self.of_all = False  # nearly all that came last was stored before

    def __bool__(self) -> bool:
        """Whether to ask before storing."""
        return self._batches > 0

    def learn(self, points: int, new: int) -> None:
        """Of a batch that is stored."""
        self._batches = WARY_BATCHES if new < points else max(0, self._batches - 1)
        self.of_all = points - new > NEARLY_ALL * points


def without_repetitions(messages: Messages) -> Messages:
    """Of rows that say something of the same point at the same moment, the one that came first."""
    if len({_moment_of(message) for message in messages}) == len(messages):
        return messages
    said: dict[tuple[object, ...], set[str]] = defaultdict(set)
    fresh = []
    for message in messages:
        points = said[_moment_of(message)]
        fresh.append([row for row in message if row.point_id not in points])
        points.update(row.point_id for row in message)
    return [message for message in fresh if message]


async def unstored(connection: Any, messages: Messages) -> Messages:
    """What of them the table doesn't have yet, as the connection's transaction sees it; raises what asyncpg raises."""
    rows = list(chain.from_iterable(messages))
    return [(rows[place - 1],) for place in await _ask(connection, messages)]


async def unstored_of_mostly_new(connection: Any, messages: Messages) -> Messages:
    """The same, for less where most are new: a message is asked for by its first point, and the others of it only where
    that one is there."""
    new = set(await _ask(connection, [message[:1] for message in messages]))
    fresh = [message for place, message in enumerate(messages, 1) if place in new]
    known = [message[1:] for place, message in enumerate(messages, 1) if place not in new and len(message) > 1]
    return [*fresh, *await unstored(connection, known)] if known else fresh


async def _ask(connection: Any, messages: Messages) -> Sequence[int]:
    """Places, from 1 through all messages, of the rows that are not stored."""
    tenants, devices, moments = zip(*map(_moment_of, messages), strict=True)
    points = [row.point_id for row in chain.from_iterable(messages)]
    of_message = list(chain.from_iterable(repeat(place, len(rows)) for place, rows in enumerate(messages, 1)))
    asked = (tenants, devices, moments, points, of_message)
    places: Sequence[int] = await connection.fetchval(sql.UNSTORED_POINTS, *asked)
    return places


def _moment_of(message: Sequence[Measure]) -> tuple[object, ...]:
    """What its rows have in common: no two of them have the same point."""
    tenant, device, _, ts, *_ = message[0]
    return tenant, device, ts
