"""Writers that were stopped in the middle of a transaction: what they hold in the database is let go.

Such a transaction holds its rows' keys, and whoever claimed its entries waits for it. Ending it loses nothing: it was
not committed, and its entries are pending.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from shared.database import transaction
from writer import sql

ANSWER_S = 5.0  # a database that takes longer is away


class FrozenWriters:
    """Ends the transactions whose client has sent nothing for `patience_s` seconds."""

    def __init__(self, pool: Any, patience_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._pool = pool
        self._patience_s = patience_s
        self._clock = clock
        self._seen: dict[tuple[Any, ...], float] = {}  # (pid, state_change, bytes copied): since when

    async def end(self) -> int:
        """Look once; returns how many transactions were ended."""
        now = self._clock()
        async with transaction(self._pool) as connection:
            waiting = [tuple(row) for row in await connection.fetch(sql.WAITING_TRANSACTIONS, timeout=ANSWER_S)]
            self._seen = {place: self._seen.get(place, now) for place in waiting}
            frozen = [place for place, since in self._seen.items() if now - since > self._patience_s]
            if not frozen:
                return 0
            pids, states, _ = zip(*frozen, strict=True)
            return int(await connection.fetchval(sql.END_TRANSACTIONS, pids, states, timeout=ANSWER_S))
