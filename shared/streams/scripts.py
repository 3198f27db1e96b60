"""The server-side scripts of `shared/streams/lua/`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Self

from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from traksense_ingest.shared.streams.keys import RETAINED

_ATTRIBUTE = "_traksense_scripts"


class Scripts:
    """The server-side scripts in `shared/streams/lua/`; each file's head says what it takes and returns."""

    def __init__(self, client: Redis) -> None:
        self.append = _script(client, "append")
        self.claim = _script(client, "claim")
        self.create_group = _script(client, "create_group")
        self.delete_idle_consumers = _script(client, "delete_idle_consumers")
        self.denied_commands = _script(client, "denied_commands")
        self.heartbeat = _script(client, "heartbeat")
        self.import_ = _script(client, "import")
        self.nack = _script(client, "nack")
        self.pending = _script(client, "pending")
        self.renew_lease = _script(client, "renew_lease")
        self.requeue_orphans = _script(client, "requeue_orphans")
        self.settle = _script(client, "settle")
        self.snapshot = _script(client, "snapshot")
        self.write_off = _script(client, "write_off")

    @classmethod
    def of(cls, client: Redis) -> Self:
        """Those of this client, which are registered at the first call: that takes 0.1 ms."""
        attributes = vars(client)
        if _ATTRIBUTE not in attributes:
            attributes[_ATTRIBUTE] = cls(client)
        return attributes[_ATTRIBUTE]  # type: ignore[no-any-return]


def append_arguments(
    cap: int, words: Sequence[bytes | int], mark: bytes = RETAINED, marked: Sequence[int] = ()
) -> list[bytes | int]:
    """What append.lua takes: `words` are topic, payload, received_at (ms) of each message, one after the other.

    `mark` is the field that some of them have; `marked` are the indexes of these, from 1.
    """
    return [cap, mark, len(marked), *marked, *words]


def _script(client: Redis, name: str) -> AsyncScript:
    script: Any = client.register_script(_source(name))
    return script  # type: ignore[no-any-return]


@cache
def _source(name: str) -> str:
    return (files("traksense_ingest.shared.streams") / "lua" / f"{name}.lua").read_text()
