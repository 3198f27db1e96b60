"""Heartbeats of receivers and writers: two hashes beside the streams, with a field for each process.

A receiver only appends; without its heartbeat Redis would have no trace of it. A writer is a consumer of the streams'
group, and visible there; its heartbeat says with which mappings it runs, how much it stores, and how late.

Each says what it waits for, a writer once it has reached Redis and the database: /readyz and the metrics say that, too,
but `status` knows no addresses of processes, and would have to reach each of them. A receiver that waits for one server
of several says it by way of another. Where it can't, the heartbeat that is missing shows it, or `status` can't reach
that server either.

A receiver that stopped, or died, stays in the hash: its session at the broker may hold messages, and with a shared
subscription the session still receives its share. It is removed when an operator dismisses it. A writer leaves nothing
behind: it is removed when it stops, or by the next one that starts.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from traksense_ingest.shared.runtime.health import Component
from traksense_ingest.shared.streams.client import Clients, errors_name_key
from traksense_ingest.shared.streams.scripts import Scripts

KEY = "ingest:{receivers}"
WRITERS_KEY = "ingest:{writers}"
_COMMON_FIELDS = ("process", "shards", "mappings", "reload_error", "waits")
_WRITER_FIELDS = (*_COMMON_FIELDS, "rows_per_s", "p50_s", "p99_s")
_FIELDS = (*_COMMON_FIELDS, "broker", "waiting", "appended", "appended_per_s", "stopped")
PERIOD_S = 2.0
CHECK_S = 0.2  # how soon it is sent after a component was lost, or is back
REASON_MAX = 300  # characters
GONE_S = 15.0  # a process sends a heartbeat every 2 s, and a Redis that does not answer delays it by 5 s
NAMES_MAX = 1000  # at 300 bytes each; a fleet has some dozen, random client ids make a new one at each start
FOR_EVER = 0

Digests = Mapping[str, str]  # of mappings, by name

T = TypeVar("T")


@dataclass(frozen=True)
class Wait:
    """A component that a process can't use, and waits for: redis, broker, database …"""

    component: str
    reason: str  # one line
    seconds: float  # since its first failed try


@dataclass(frozen=True, kw_only=True)
class Receiver:
    """A receiver's last heartbeat."""

    client_id: str
    process: str = ""  # its host and process id
    broker: bool = False  # whether it is connected and subscribed
    waiting: bool = False  # a full stream makes it withhold acknowledgements
    appended: int = 0  # messages, since it started
    appended_per_s: float = 0.0  # … lately
    stopped: bool = False  # by a clean shutdown, which leaves its session at the broker
    shards: int | None = None  # its INGEST_SHARDS; None: of an older version
    mappings: Digests | None = None  # None: of a version without mappings
    reload_error: str | None = None  # why its last reload of the mappings failed
    waits: Sequence[Wait] = ()  # while it waits for Redis, nothing is acknowledged
    idle_s: float = 0.0  # since this heartbeat, by Redis's own clock

    @property
    def is_gone(self) -> bool:
        """Whether nobody reads from its session at the broker."""
        return self.stopped or self.idle_s > GONE_S

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "gone": self.is_gone}


@dataclass(frozen=True, kw_only=True)
class Writer:
    """A writer's last heartbeat."""

    name: str  # that its consumers' names begin with
    process: str = ""  # its host and process id
    shards: int | None = None  # its INGEST_SHARDS; None: of an older version
    mappings: Digests | None = None
    reload_error: str | None = None
    waits: Sequence[Wait] = ()
    rows_per_s: float | None = None  # of ts_measure, in the last 10 s; None: of an older version
    p50_s: float | None = None  # from the device's timestamp to COMMIT; None while nothing is stored
    p99_s: float | None = None
    idle_s: float = 0.0  # since this heartbeat, by Redis's own clock

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


class Pulse:
    """When a heartbeat is due: every 2 s, and as soon as a component was lost or is back."""

    def __init__(self, components: Mapping[str, Component]) -> None:
        self._components = components
        self._sent: tuple[float, Sequence[object]] = -PERIOD_S, ()

    def is_due(self) -> bool:
        """Whether to send one now; if so, that one counts as sent."""
        now, states = time.monotonic(), [(each.is_up, each.outage is None) for each in self._components.values()]
        at, sent = self._sent
        if states == sent and now - at < PERIOD_S:
            return False
        self._sent = now, states
        return True


def waits_of(components: Mapping[str, Component]) -> list[Wait]:
    """The components that this process can't use now."""
    now, outages = time.monotonic(), {name: each.outage for name, each in components.items()}
    return [
        Wait(name, outage.reason[:REASON_MAX], round(now - outage.since, 1))
        for name, outage in outages.items()
        if outage
    ]


async def register(clients: Clients, receiver: Receiver) -> bool:
    """Store a receiver's state, running or stopped; whether its client id is new. Raises what redis-py raises."""
    return await _register(clients, KEY, receiver.client_id, receiver, _FIELDS, FOR_EVER)


async def register_writer(clients: Clients, writer: Writer) -> bool:
    """Store a writer's state; whether its name is new. Raises what redis-py raises."""
    return await _register(clients, WRITERS_KEY, writer.name, writer, _WRITER_FIELDS, round(GONE_S * 1000))


async def deregister(clients: Clients, *client_ids: str) -> None:
    """Remove these receivers. Raises what redis-py raises."""
    removed: Any = clients.of(KEY).hdel(KEY, *client_ids)
    await removed


async def deregister_writer(clients: Clients, name: str) -> None:
    """Remove a writer. Raises what redis-py raises."""
    removed: Any = clients.of(WRITERS_KEY).hdel(WRITERS_KEY, name)
    await removed


async def receivers(clients: Clients) -> list[Receiver]:
    """All that are registered, by name. Raises what redis-py raises."""
    return sorted(await _read(clients, KEY, _receiver), key=lambda receiver: receiver.client_id)


async def writers(clients: Clients) -> list[Writer]:
    """Those that run, by name. Raises what redis-py raises."""
    found = await _read(clients, WRITERS_KEY, _writer)
    return sorted((each for each in found if each.idle_s <= GONE_S), key=lambda writer: writer.name)


def running(
    receivers: Sequence[Receiver] | None, writers: Sequence[Writer] | None
) -> Iterator[tuple[str, Receiver | Writer]]:
    """The processes that run, each with what it is and its name: `receiver traksense-receiver`."""
    yield from ((f"receiver {each.client_id}", each) for each in receivers or () if not each.is_gone)
    yield from ((f"writer {each.name}", each) for each in writers or ())


async def _register(clients: Clients, key: str, name: str, state: object, fields: Sequence[str], kept_ms: int) -> bool:
    text = json.dumps({field: getattr(state, field) for field in fields}, default=vars)
    with errors_name_key(key):
        return bool(await Scripts.of(clients.of(key)).heartbeat(keys=[key], args=[name, text, NAMES_MAX, kept_ms]))


async def _read(clients: Clients, key: str, parse: Callable[[str, dict[str, Any], float], T]) -> list[T]:
    """Without those that are of another format: other clients may write to the hash too."""
    pipeline = clients.of(key).pipeline(transaction=False)
    pipeline.time()
    pipeline.hgetall(key)
    (seconds, microseconds), fields = await pipeline.execute()
    now_ms = seconds * 1000 + microseconds // 1000
    found = []
    for name, value in fields.items():
        try:
            state = json.loads(value)
            idle_s = max(0.0, (now_ms - int(state["at"])) / 1000)
            found.append(parse(name.decode(errors="backslashreplace"), state, idle_s))
        except (ValueError, TypeError, KeyError, AttributeError):
            continue
    return found


def _receiver(name: str, state: dict[str, Any], idle_s: float) -> Receiver:
    return Receiver(
        client_id=name,
        process=str(state["process"]),
        broker=bool(state["broker"]),
        waiting=bool(state["waiting"]),
        appended=int(state["appended"]),
        appended_per_s=float(state["appended_per_s"]),
        stopped=bool(state.get("stopped")),
        shards=_number(state.get("shards")),
        mappings=_digests(state.get("mappings")),
        reload_error=_text(state.get("reload_error")),
        waits=_waits(state.get("waits"), idle_s),
        idle_s=idle_s,
    )


def _writer(name: str, state: dict[str, Any], idle_s: float) -> Writer:
    return Writer(
        name=name,
        process=str(state["process"]),
        shards=_number(state.get("shards")),
        mappings=_digests(state.get("mappings")),
        reload_error=_text(state.get("reload_error")),
        waits=_waits(state.get("waits"), idle_s),
        rows_per_s=_seconds(state.get("rows_per_s")),
        p50_s=_seconds(state.get("p50_s")),
        p99_s=_seconds(state.get("p99_s")),
        idle_s=idle_s,
    )


def _digests(value: Any) -> Digests | None:
    return None if value is None else {str(name): str(digest) for name, digest in value.items()}


def _waits(value: Any, idle_s: float) -> tuple[Wait, ...]:
    """Empty for a version that does not report it."""
    return tuple(
        Wait(str(each["component"]), str(each["reason"]), float(each["seconds"]) + idle_s) for each in value or ()
    )


def _number(value: Any) -> int | None:
    return None if value is None else int(value)


def _seconds(value: Any) -> float | None:
    return None if value is None else float(value)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
