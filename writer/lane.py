"""The loop of a writer.

Take a batch; decode each entry to rows or a rejection; store rows and rejections in one transaction; settle what
was stored or rejected; leave the rest pending.

A writer runs a few lanes for each stream, each a consumer of its own: one decodes while another commits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from shared.health import Component
from writer.account import Account
from writer.commit import Commit
from writer.decode import Decoder
from writer.deferral import report
from writer.entry import Entry
from writer.group import Class
from writer.isolate import give_up, store_all_but_bad
from writer.outcome import Deferred, Outcome, Settleable
from writer.portions import portions
from writer.source import Source
from writer.store import Store


class Lane:
    """One consumer's loop. It holds one batch, and takes no other before that one is settled or left pending."""

    def __init__(
        self,
        source: Source,
        decoder: Decoder,
        store: Store,
        database: Component,
        account: Account,
        max_deliveries: int,
    ) -> None:
        self._source = source
        self._decoder = decoder
        self._store = store
        self._database = database
        self._account = account
        self._max_deliveries = max_deliveries

    async def run(self, stop: asyncio.Event) -> None:
        """Handle batches until `stop`; the batch in hand is finished first."""
        while not stop.is_set():
            if batch := await self._source.take():
                await self._handle(batch)
        await self._source.leave()

    async def _handle(self, batch: Sequence[Entry]) -> None:
        outcomes = [self._decode(entry) for entry in batch]
        commit = Commit(self._store, self._database, self._account, self._source.shrink)
        outcomes = await self._store_all_but_bad(commit, outcomes)
        settleable = [outcome for outcome in outcomes if not isinstance(outcome, Deferred)]
        await self._settle(settleable, commit.duplicates.total())
        await self._leave_pending([outcome for outcome in outcomes if isinstance(outcome, Deferred)])

    def _decode(self, entry: Entry) -> Outcome:
        outcome = self._decoder.decode(entry)
        return give_up(outcome, self._max_deliveries) if isinstance(outcome, Deferred) else outcome

    async def _store_all_but_bad(self, commit: Commit, outcomes: Sequence[Outcome]) -> list[Outcome]:
        stored: list[Outcome] = [outcome for outcome in outcomes if isinstance(outcome, Deferred)]
        for portion in portions([outcome for outcome in outcomes if not isinstance(outcome, Deferred)]):
            stored += await store_all_but_bad(commit, portion, self._max_deliveries)
        return stored

    async def _settle(self, outcomes: Sequence[Settleable], duplicates: int) -> None:
        classes: dict[Class, list[Entry]] = {}
        for outcome in outcomes:
            classes.setdefault((outcome.kind, outcome.verdict), []).append(outcome.entry)
        self._account.settled(await self._source.settle(classes, duplicates))

    async def _leave_pending(self, deferred: Sequence[Deferred]) -> None:
        report(deferred)
        self._account.deferred(len(deferred))
        await self._source.defer([outcome.entry for outcome in deferred])
