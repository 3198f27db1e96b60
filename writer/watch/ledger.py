"""The copies of the ledgers in the database, and the losses that they show: entries that are gone and were not settled.

A stream that is deleted takes its figures with it, and often its ledger. The copy still says what was in it, or the
last snapshot of a writer, if the database was unreachable.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar, assert_never

from traksense_ingest.shared.failure import Kind, describe, is_refusal, kind_of
from traksense_ingest.shared.runtime.health import Component
from traksense_ingest.shared.runtime.retry import retry_through_outage
from traksense_ingest.shared.runtime.tasks import end_if_cancelled
from traksense_ingest.shared.streams.client import Clients
from traksense_ingest.shared.streams.keys import ledger_of, number_of
from traksense_ingest.shared.streams.ledger import Ledger
from traksense_ingest.shared.streams.ledger_rows import LedgerRow, LedgerRows
from traksense_ingest.shared.streams.scripts import Scripts
from traksense_ingest.shared.streams.snapshot import (
    StreamSnapshot,
    read_snapshot,
    read_snapshot_after,
    with_remaining,
)
from traksense_ingest.writer.decode.decode import Clock, utc_now
from traksense_ingest.writer.watch.ledger_step import (
    Action,
    Close,
    Copy,
    Loss,
    Observation,
    Reset,
    Wait,
    basis,
    last_seen,
    step,
)
from traksense_ingest.writer.watch.snapshot_feed import Snapshots

LOGGED_AFTER = 2  # checks: after the first one an outage may not be known yet, which is logged elsewhere

T = TypeVar("T")

log = logging.getLogger(__name__)


class LedgerWatch:
    """Keeps the copies, and records losses. Waits through outages of Redis.

    It reads the database's component and never sets it: that a table of ours is locked says nothing of the others.
    """

    def __init__(
        self,
        clients: Clients,
        rows: LedgerRows,
        snapshots: Callable[[], Awaitable[Snapshots]],
        redis: Component,
        database: Component,
        clock: Clock = utc_now,
    ) -> None:
        """`snapshots` gives those of this writer's shards that are begun after the call."""
        self._clients = clients
        self._rows = rows
        self._snapshots = snapshots
        self._redis = redis
        self._database = database
        self._clock = clock
        self._copies: dict[str, LedgerRow] = {}
        self._seen: dict[str, Observation] = {}
        self._outage: Exception | None = None  # in the last check
        self._unanswered = 0  # checks in a row in which stream_ledger did not answer though the database is reachable

    @property
    def lost(self) -> int:
        """Entries that went with their streams, by the last check."""
        unwritten = [
            seen.loss for seen in self._seen.values() if seen.loss and seen.is_of(self._copy_of(seen.row.stream))
        ]
        return sum(row.lost for row in self._copies.values()) + sum(loss.gone + loss.missing for loss in unwritten)

    async def check(self) -> None:
        """Check each shard once, and other streams that had a backlog when last seen."""
        self._outage = None
        copies = await self._ask(self._rows.read)  # first: the snapshots are then newer
        self._copies = self._copies if copies is None else copies
        snapshots = {snapshot.stream: snapshot for snapshot in await self._snapshots()}
        backlogs = {row.stream for row in self._copies.values() if row.in_stream}
        for stream in sorted(snapshots.keys() | backlogs):
            row = self._copy_of(stream)
            if copies is not None:
                await self._execute(await self._next_action(row, snapshots.get(stream)))
            elif not row.is_closed:
                await self._observe(self._last_seen(row))  # kept until the database is reachable
        self._log_outage()

    def _copy_of(self, stream: str) -> LedgerRow:
        return self._copies.get(stream) or LedgerRow(stream=stream)

    async def _next_action(self, row: LedgerRow, snapshot: StreamSnapshot | None) -> Action:
        seen = self._seen.get(row.stream)

        async def complete() -> StreamSnapshot:
            now = snapshot or await read_snapshot(self._clients, number_of(row.stream))
            return now if row.is_closed else await with_remaining(self._clients, basis(row, now, seen), now)

        now = await retry_through_outage(self._redis, complete)
        return step(row, now, seen, self._clock())

    def _last_seen(self, row: LedgerRow) -> Observation:
        seen = self._seen.get(row.stream)
        return seen if seen and seen.split else last_seen(row, seen)

    async def _execute(self, action: Action) -> None:
        match action:
            case Wait(seen):
                self._log_split(seen)
                self._seen[seen.row.stream] = seen
            case Copy(seen):
                await self._copy(seen)
            case Close(seen, loss):
                self._seen[seen.row.stream] = seen
                await self._close(seen.row, seen.ledger, loss)
            case Reset(row):
                await self._reset(row)
            case other:
                assert_never(other)

    async def _copy(self, seen: Observation) -> None:
        row, seen = seen.row, await self._observe(seen)
        if seen.loss or seen.ledger.revision == row.revision:
            return  # lost in this very moment, or not counted: the next check will do
        more = seen.ledger.missing - max(row.missing, 0)
        written = await self._replace(row, seen.ledger)
        if written:
            self._seen[row.stream] = replace(seen, row=written)
        if written and more > 0:
            log.error(
                "%s: %d entries were removed by another client (XDEL, XTRIM) and not stored; %d are missing now",
                *(row.stream, more, seen.ledger.missing),
                extra={"stream": row.stream, "count": more},
            )

    async def _close(self, row: LedgerRow, now: Ledger, loss: Loss) -> None:
        """Record a loss once, whichever writer does it, and reset the ledger to what is in the stream."""
        closed = replace(row, revision=max(row.revision, now.revision) + 1)
        written = await self._replace(row, closed, lost=loss.gone + loss.missing, is_closed=True)
        if not written:
            return  # another writer has recorded it, or the database is unreachable
        log.log(
            logging.ERROR if loss.gone else logging.INFO,
            "%s was deleted, or Redis has an older state of it: %d entries that were not settled are gone; "
            "last seen: %s, with %d in it",
            *(
                row.stream,
                loss.gone,
                loss.seen_at.isoformat(" ", "seconds") if loss.seen_at else "never",
                loss.in_stream,
            ),
            extra={"stream": row.stream, "count": loss.gone},
        )
        await self._reset(written)

    async def _reset(self, row: LedgerRow) -> None:
        """May be repeated by any writer that finds the row still closed: the second time changes nothing."""
        shard, revision = number_of(row.stream), row.revision
        write_off, keys = Scripts.of(self._clients.of(row.stream)).write_off, [row.stream, ledger_of(shard)]
        await retry_through_outage(self._redis, lambda: write_off(keys=keys, args=[revision]))
        now = await retry_through_outage(self._redis, lambda: read_snapshot(self._clients, shard))
        if now.revision >= revision:
            await self._replace(row, now)

    async def _observe(self, seen: Observation) -> Observation:
        """After another snapshot, which raises the ledger's revision."""
        shard, last = number_of(seen.row.stream), seen.ledger
        now = await retry_through_outage(
            self._redis, lambda: read_snapshot_after(self._clients, shard, last, is_counted=True)
        )
        self._seen[seen.row.stream] = seen = seen.then(now, self._clock())
        return seen

    async def _replace(
        self, row: LedgerRow, now: Ledger, *, lost: int = 0, is_closed: bool = False
    ) -> LedgerRow | None:
        """The row as it is now; None if another process has changed it, or the database is unreachable."""
        written = await self._ask(lambda: self._rows.replace(row, now, lost=lost, is_closed=is_closed))
        if written:
            self._copies[row.stream] = written
        return written

    async def _ask(self, query: Callable[[], Awaitable[T]]) -> T | None:
        """The database's answer, or None in an outage. Raises any other error."""
        try:
            answer = await query()
        except Exception as error:
            if kind_of(error) is not Kind.OUTAGE or is_refusal(error):
                raise
            self._outage = error
            return None
        end_if_cancelled()
        return answer

    def _log_split(self, seen: Observation) -> None:
        stream = seen.row.stream
        before = self._seen.get(stream)
        if seen.is_split and not (before and before.is_split):
            text = "%s: other writers use another Redis: after a failover, this writer is still connected to the old "
            text += "master"
            log.warning(text, stream, extra={"component": "redis", "stream": stream})

    def _log_outage(self) -> None:
        if self._outage is None:
            if self._unanswered >= LOGGED_AFTER:
                log.info("the ledgers' copies are kept again")
            self._unanswered = 0
        elif self._database.is_up:
            self._unanswered += 1
            if self._unanswered == LOGGED_AFTER:
                about = {"component": "database"}
                log.warning("the ledgers' copies wait for stream_ledger: %s", describe(self._outage), extra=about)
