"""Which points of a batch are not in the table yet, and when it pays to ask before COPY."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Sequence
from itertools import chain
from typing import Any

from traksense_ingest.writer.decode.measures import Measures
from traksense_ingest.writer.store import sql

Messages = Sequence[Measures]  # with one row at least
Points = tuple[str, ...]

# A COPY that is refused costs what it has stored until then; asking costs a tenth of it.
CAREFUL_BATCHES = 8
NEARLY_ALL = 0.9
FEW = 0.1  # of a batch: where more of it is repeated, all of it is looked up
REMEMBERED = 20_000  # messages: some 2 MB


class DuplicateTracker:
    """Guesses where duplicates are; the table knows.

    A device or a broker that sends a message again mostly does so soon: what repeats one of this process's latest
    messages, which another lane may be storing at this moment, is kept out of COPY. Duplicates of what others have
    stored cluster, as after a crash: after one, all of the next 8 batches is looked up.
    """

    def __init__(self) -> None:
        self._batches = 0
        self._latest: set[int] = set()  # keys of the messages that came last
        self._earlier: set[int] = set()
        self.are_most = False  # nearly all of the last batch was in the table already

    def expects_duplicates(self) -> bool:
        """Whether to ask what is new before COPY."""
        return self._batches > 0

    def observe(self, keys: Sequence[int]) -> set[int]:
        """Messages with these keys, of `keys_of`, are about to be stored; returns the keys of those that came lately,
        or that come twice here."""
        unique = set(keys)
        found = unique & self._latest | unique & self._earlier
        if len(unique) < len(keys):
            found.update(key for key, count in Counter(keys).items() if count > 1)
        if len(self._latest) >= REMEMBERED // 2:
            self._earlier, self._latest = self._latest, set()
        self._latest |= unique
        if len(found) > FEW * len(unique):
            self._batches = max(self._batches, 1)
        return found

    def learn(self, points: int, new: int, repeated: int) -> None:
        """From a batch that is committed: of so many points so many were new; `repeated` of them are in repetitions."""
        self._batches = CAREFUL_BATCHES if points - new > repeated else max(0, self._batches - 1)
        self.are_most = points - new > NEARLY_ALL * points


def keys_of(messages: Messages) -> list[int]:
    """A number for each, by which one that comes again is recognised. Others may have the same by chance."""
    return [hash((message.tenant_id, message.device_id, message.ts, message.readings[0][0])) for message in messages]


def split_by_key(messages: Messages, keys: Container[int]) -> tuple[Messages, Messages]:
    """The messages with these keys, and the others."""
    found, others = list[Measures](), list[Measures]()
    for message, key in zip(messages, keys_of(messages), strict=True):
        (found if key in keys else others).append(message)
    return found, others


def without_repetitions(messages: Messages) -> Messages:
    """Of rows for the same point at the same moment, the first one."""
    if len({message.moment for message in messages}) == len(messages):
        return messages
    seen: dict[tuple[object, ...], set[str]] = defaultdict(set)
    unique = []
    for message in messages:
        points = seen[message.moment]
        unique.append(message.only(tuple(reading for reading in message.readings if reading[0] not in points)))
        points.update(reading[0] for reading in message.readings)
    return [message for message in unique if message.readings]


async def find_new_points(connection: Any, messages: Messages) -> Messages:
    """What of them is not in the table yet, as the connection's transaction sees it; raises what asyncpg raises."""
    new_points: dict[int, list[int]] = defaultdict(list)
    for message, point in await _ask(connection, messages, _points_of):
        new_points[message - 1].append(point - 1)
    return [_only(messages[message], points) for message, points in sorted(new_points.items())]


async def find_new_points_by_first(connection: Any, messages: Messages) -> Messages:
    """The same, cheaper where most messages are new: only the first point of each is looked up, and the others where
    that one is in the table."""
    new = {message for message, _ in await _ask(connection, messages, _first_point_of)}
    unknown = [message for number, message in enumerate(messages, 1) if number in new]
    others = [message.only(message.readings[1:]) for number, message in enumerate(messages, 1) if number not in new]
    known = [message for message in others if message.readings]
    return [*unknown, *await find_new_points(connection, known)] if known else unknown


async def _ask(
    connection: Any, messages: Messages, points_of: Callable[[Measures], Points]
) -> Sequence[tuple[int, int]]:
    """Which of these points are not stored: pairs of a message's number and a point's number in it, both from 1."""
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


def _only(message: Measures, indexes: Iterable[int]) -> Measures:
    return message.only(tuple(message.readings[index] for index in sorted(indexes)))
