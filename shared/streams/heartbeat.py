"""The heartbeats of the receivers: a hash beside the streams, with a field for each client id.

A writer is a consumer of the streams' group, and visible there. A receiver only appends; without its heartbeat Redis
would have no trace of it.

A receiver that stopped, or died, stays in the hash: its session at the broker may hold messages, and with a shared
subscription the session still receives its share. It is removed when an operator dismisses it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from redis.asyncio import Redis

from traksense_ingest.shared.streams.client import errors_name_key
from traksense_ingest.shared.streams.scripts import Scripts

KEY = "ingest:{receivers}"
_FIELDS = ("process", "broker", "waiting", "appended", "appended_per_s", "stopped")
GONE_S = 15.0  # a receiver sends a heartbeat every 2 s, and a Redis that does not answer delays it by 5 s
NAMES_MAX = 1000  # at 300 bytes each; a fleet has some dozen, random client ids make a new one at each start


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
    idle_s: float = 0.0  # since this heartbeat, by Redis's own clock

    @property
    def is_gone(self) -> bool:
        """Whether nobody reads from its session at the broker."""
        return self.stopped or self.idle_s > GONE_S

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "gone": self.is_gone}


async def register(client: Redis, receiver: Receiver) -> bool:
    """Store a receiver's state, running or stopped; whether its client id is new. Raises what redis-py raises."""
    state = json.dumps({name: getattr(receiver, name) for name in _FIELDS})
    with errors_name_key(KEY):
        return bool(await Scripts.of(client).heartbeat(keys=[KEY], args=[receiver.client_id, state, NAMES_MAX]))


async def deregister(client: Redis, *client_ids: str) -> None:
    """Remove these receivers. Raises what redis-py raises."""
    removed: Any = client.hdel(KEY, *client_ids)
    await removed


async def receivers(client: Redis) -> list[Receiver]:
    """All that are registered, by name. Raises what redis-py raises."""
    pipeline = client.pipeline(transaction=False)
    pipeline.time()
    pipeline.hgetall(KEY)
    (seconds, microseconds), fields = await pipeline.execute()
    now_ms = seconds * 1000 + microseconds // 1000
    return sorted(
        (found for name, value in fields.items() if (found := _parse(name, value, now_ms))),
        key=lambda receiver: receiver.client_id,
    )


def _parse(name: bytes, value: bytes, now_ms: int) -> Receiver | None:
    """None for a value of another format: other clients may write to the hash too."""
    try:
        state = json.loads(value)
        return Receiver(
            client_id=name.decode(errors="backslashreplace"),
            process=str(state["process"]),
            broker=bool(state["broker"]),
            waiting=bool(state["waiting"]),
            appended=int(state["appended"]),
            appended_per_s=float(state["appended_per_s"]),
            stopped=bool(state.get("stopped")),
            idle_s=max(0.0, (now_ms - int(state["at"])) / 1000),
        )
    except (ValueError, TypeError, KeyError):
        return None
