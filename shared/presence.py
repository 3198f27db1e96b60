"""Which receivers are there: a hash beside the streams, with a field for each client id.

A writer is a consumer of the streams' group, and seen there. A receiver only appends; without its own word nobody who
looks at Redis would know of it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from redis.asyncio import Redis

from shared.stream import Scripts, naming

KEY = "ingest:{receivers}"
_TOLD = ("process", "broker", "waiting", "appended", "appended_per_s")
FORGET_MS = 86_400_000  # one that died yesterday is worth a line, one of last week is not


@dataclass(frozen=True, kw_only=True)
class Receiver:
    """What a receiver says of itself every few seconds."""

    client_id: str
    process: str = ""  # its host and process id
    broker: bool = False  # whether it is connected and subscribed
    waiting: bool = False  # a full stream makes it withhold acknowledgements
    appended: int = 0  # messages, since it started
    appended_per_s: float = 0.0  # … lately
    silent_s: float = 0.0  # since it said so, by Redis's own clock

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


async def announce(client: Redis, receiver: Receiver) -> None:
    """Say that it is there, as it is now. Raises what redis-py raises."""
    about = {name: getattr(receiver, name) for name in _TOLD}
    with naming(KEY):
        await Scripts(client).present(keys=[KEY], args=[receiver.client_id, json.dumps(about), FORGET_MS])


async def withdraw(client: Redis, client_id: str) -> None:
    """It leaves. Raises what redis-py raises."""
    gone: Any = client.hdel(KEY, client_id)
    await gone


async def receivers(client: Redis) -> list[Receiver]:
    """All that were heard of within a day, by name. Raises what redis-py raises."""
    pipeline = client.pipeline(transaction=False)
    pipeline.time()
    pipeline.hgetall(KEY)
    (seconds, microseconds), fields = await pipeline.execute()
    now_ms = seconds * 1000 + microseconds // 1000
    return sorted(
        (found for name, value in fields.items() if (found := _read(name, value, now_ms))),
        key=lambda receiver: receiver.client_id,
    )


def _read(name: bytes, value: bytes, now_ms: int) -> Receiver | None:
    """None for what isn't ours: other hands write there too."""
    try:
        about = json.loads(value)
        return Receiver(
            client_id=name.decode(errors="backslashreplace"),
            process=str(about["process"]),
            broker=bool(about["broker"]),
            waiting=bool(about["waiting"]),
            appended=int(about["appended"]),
            appended_per_s=float(about["appended_per_s"]),
            silent_s=max(0.0, (now_ms - int(about["at"])) / 1000),
        )
    except (ValueError, TypeError, KeyError):
        return None
