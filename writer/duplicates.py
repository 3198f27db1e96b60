"""What a batch has to say that is not in the table yet, and when it is worth to ask."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any

from writer import sql
from writer.measures import Measures

Messages = Sequence[Measures]  # with one row at least
Points = tuple[str, ...]

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
    if len({message.moment for message in messages}) == len(messages):
        return messages
    said: dict[tuple[object, ...], set[str]] = defaultdict(set)
    fresh = []
    for message in messages:
        points = said[message.moment]
        fresh.append(message.only(tuple(reading for reading in message.readings if reading[0] not in points)))
        points.update(reading[0] for reading in message.readings)
    return [message for message in fresh if message.readings]


async def unstored(connection: Any, messages: Messages) -> Messages:
    """What of them the table doesn't have yet, as the connection's transaction sees it; raises what asyncpg raises."""
    places: dict[int, list[int]] = defaultdict(list)
    for message, point in await _ask(connection, messages, _points_of):
        places[message - 1].append(point - 1)
    return [_only(messages[message], points) for message, points in sorted(places.items())]


async def unstored_of_mostly_new(connection: Any, messages: Messages) -> Messages:
    """The same, for less where most are new: a message is asked for by its first point, and the others of it only where
    that one is there."""
    new = {message for message, _ in await _ask(connection, messages, _first_point_of)}
    fresh = [message for place, message in enumerate(messages, 1) if place in new]
    others = [message.only(message.readings[1:]) for place, message in enumerate(messages, 1) if place not in new]
    known = [message for message in others if message.readings]
    return [*fresh, *await unstored(connection, known)] if known else fresh


async def _ask(
    connection: Any, messages: Messages, points_of: Callable[[Measures], Points]
) -> Sequence[tuple[int, int]]:
    """Which of these points are not stored: pairs of a message and a place among its points, both from 1."""
    lists: dict[Points, int] = {}
    pairs: Sequence[tuple[int, int]] = await connection.fetchval(
        sql.UNSTORED_POINTS,
        [message.tenant_id for message in messages],
        [message.device_id for message in messages],
        [message.ts for message in messages],
        [lists.setdefault(points_of(message), len(lists)) for message in messages],
        list(chain.from_iterable(lists)),
        [number for points, number in lists.items() for _ in points],
    )
    return pairs


def _points_of(message: Measures) -> Points:
    return tuple([reading[0] for reading in message.readings])


def _first_point_of(message: Measures) -> Points:
    return message.readings[0][:1]


def _only(message: Measures, places: Iterable[int]) -> Measures:
    return message.only(tuple(message.readings[place] for place in sorted(places)))
