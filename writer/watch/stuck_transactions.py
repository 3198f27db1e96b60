"""Writers that were stopped in the middle of a transaction: their transactions are ended.

Such a transaction holds its rows' keys, and whichever writer claimed its entries waits for it. Ending it loses nothing:
it was not committed, and its entries are pending.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from traksense_ingest.shared.database import transaction
from traksense_ingest.writer.store import sql

ANSWER_S = 5.0  # a database that takes longer counts as unreachable


class StuckTransactions:
    """Ends the transactions whose client has sent nothing for `patience_s` seconds."""

    def __init__(self, pool: Any, patience_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._pool = pool
        self._patience_s = patience_s
        self._clock = clock
        self._seen: dict[tuple[Any, ...], float] = {}  # (pid, state_change, bytes copied): since when

    async def end(self) -> int:
        """Check once; returns how many transactions were ended."""
        now = self._clock()
        async with transaction(self._pool) as connection:
            waiting = [tuple(row) for row in await connection.fetch(sql.WAITING_TRANSACTIONS, timeout=ANSWER_S)]
            self._seen = {state: self._seen.get(state, now) for state in waiting}
            stuck = [state for state, since in self._seen.items() if now - since > self._patience_s]
            if not stuck:
                return 0
            pids, states, _ = zip(*stuck, strict=True)
            return int(await connection.fetchval(sql.END_TRANSACTIONS, pids, states, timeout=ANSWER_S))
