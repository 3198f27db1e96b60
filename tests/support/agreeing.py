"""A socket, a Redis and a database that agree to everything at once and cost next to nothing."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from typing import Any


class Socket:
    """A socket with bytes to read, that takes all that it is given."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self.sent = 0

    @property
    def has_more(self) -> bool:
        return self._at < len(self._data)

    def recv(self, size: int) -> bytes:
        if not self.has_more:
            raise BlockingIOError
        data = self._data[self._at : self._at + size]
        self._at += len(data)
        return data

    def send(self, data: bytes) -> int:
        self.sent += len(data)
        return len(data)

    def close(self) -> None:
        """As a socket."""

    def fileno(self) -> int:
        return -1


class AgreeingRedis:
    """Says yes."""

    def client(self) -> AgreeingRedis:
        return self

    def register_script(self, _source: str) -> Any:
        return self._script

    async def _script(self, keys: list[str], args: list[Any]) -> tuple[int, int]:
        appended = (len(args) - 1) // 3
        return appended, appended

    async def ping(self) -> None:
        """As a server that is there."""


class AgreeingPool:
    """A database that takes everything, and forgets it."""

    async def acquire(self) -> AgreeingPool:
        return self

    async def release(self, _connection: AgreeingPool) -> None:
        """As a pool that has nothing to reset."""

    def transaction(self) -> AgreeingPool:
        return self

    async def start(self) -> None:
        """BEGIN"""

    async def commit(self) -> None:
        """COMMIT"""

    async def copy_to_table(self, _table: str, source: AsyncIterator[bytes], **_options: Any) -> str:
        async for _ in source:
            """Sent."""
        return f"COPY {sys.maxsize}"

    async def execute(self, _statement: str, *_columns: Any) -> str:
        return "INSERT 0 0"

    async def fetchrow(self, _query: str, *_arguments: Any) -> tuple[None, None]:
        """It is what it claims to be."""
        return None, None
