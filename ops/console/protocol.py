"""The HTTP protocol of uvicorn, with a limit of the time in which a request's line and headers arrive.

uvicorn limits only how long a connection is idle between two requests, so one that sends nothing, or a byte from time
to time, would stay for ever, and CONNECTIONS_MAX of them would be all that there may be.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEADERS_S = 10.0


class Http(H11Protocol):
    """A connection."""

    _limit: asyncio.TimerHandle | None = None  # while a request is expected, or has arrived in part

    def connection_made(self, transport: Any) -> None:
        """Expects a request."""
        super().connection_made(transport)
        self._limit = self.loop.call_later(HEADERS_S, self._close)

    def data_received(self, data: bytes) -> None:
        """Of a request's headers, or of the body of one that is being answered."""
        super().data_received(data)
        if self._is_answering:
            self._unset_limit()
        elif self._limit is None:
            self._limit = self.loop.call_later(HEADERS_S, self._close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Expects nothing."""
        self._unset_limit()
        super().connection_lost(exc)

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _unset_limit(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None

    def _close(self) -> None:
        self._limit = None
        if not self._is_answering:
            self.transport.close()
