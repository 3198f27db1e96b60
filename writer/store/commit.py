"""The transactions of one batch: how each ended is a value, and only an outage is waited for."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from traksense_ingest.shared.failure import Suspect, suspect_of
from traksense_ingest.shared.runtime.health import Component
from traksense_ingest.shared.runtime.retry import retry_through_outage
from traksense_ingest.writer.outcome import Storable
from traksense_ingest.writer.store.canary import DEAD_LETTER, Canary, kind_of
from traksense_ingest.writer.store.tables import Changes, Tables
from traksense_ingest.writer.watch.metrics_recorder import MetricsRecorder

_DOUBTFUL = frozenset({Suspect.SCHEMA, Suspect.INTERNAL})  # more likely about the database than about one of a batch


@dataclass(frozen=True, slots=True)
class Committed:
    """The first of the messages are stored: all of them, unless that was too much for one transaction."""

    messages: Sequence[Storable]
    changes: Changes


@dataclass(frozen=True, slots=True)
class Refused:
    """Something in these messages is refused, while the database is reachable."""

    error: Exception


@dataclass(frozen=True, slots=True)
class KindRefused:
    """The database refuses every message of this kind, a known good one too."""

    kind: str
    fault: Exception


Attempt = Committed | Refused | KindRefused


class BatchCommit:
    """Commits the messages of one batch. What was too much at once is tried again with half as many, down to one."""

    def __init__(self, tables: Tables, canary: Canary, database: Component, recorder: MetricsRecorder) -> None:
        self._tables = tables
        self._canary = canary
        self._database = database
        self._recorder = recorder
        self._refused: dict[str, Exception] = {}
        self.limit: int | None = None  # messages in one transaction; None: all
        self.duplicates = 0  # rows that were in the tables already

    async def commit(self, messages: Sequence[Storable]) -> Attempt:
        """Try to store these in one transaction, or the first ones of them; waits through outages."""
        if excess := self._recorder.share.exceeded_by(messages):
            return KindRefused(DEAD_LETTER, excess)
        if refusal := self._known_refusal(messages):
            return refusal
        started = time.perf_counter()
        try:
            committed = await retry_through_outage(self._database, lambda: self._try(messages[: self.limit]))
        except _NotStored as error:
            return error.refusal
        self._record(committed, time.perf_counter() - started)
        return committed

    def _known_refusal(self, messages: Sequence[Storable]) -> KindRefused | None:
        """For more of a kind that was refused in this batch already."""
        kinds = {kind_of(outcome) for outcome in messages} if self._refused else set()
        if len(kinds) == 1 and (fault := self._refused.get(kind := kinds.pop())):
            return KindRefused(kind, fault)
        return None

    async def _try(self, messages: Sequence[Storable]) -> Committed:
        result = await self._write(messages)
        if isinstance(result, Refused):
            refusal = await self._explain(messages, result.error)
            if isinstance(refusal, KindRefused) or len(messages) > 1:
                raise _NotStored(refusal)
            again = await self._write_again(messages)
            self._database.down(result.error)  # it has passed, so the message is not its cause
            return again
        return result

    async def _write(self, messages: Sequence[Storable]) -> Committed | Refused:
        try:
            return Committed(messages, await self._tables.write(messages))
        except Exception as error:
            return Refused(error)

    async def _explain(self, messages: Sequence[Storable], error: Exception) -> Refused | KindRefused:
        """Whether these are at fault, or all messages of their kind. Raises the error where it is an outage, or where
        fewer messages are to be tried."""
        suspect, is_single = suspect_of(error), len(messages) == 1
        if suspect is Suspect.SERVER:
            raise error
        if suspect is Suspect.SIZE and not is_single:
            self.limit = max(1, len(messages) // 2)
            raise error
        kinds = {kind_of(outcome) for outcome in messages}
        if len(kinds) > 1 or (suspect not in _DOUBTFUL and not is_single):
            return Refused(error)
        kind = kinds.pop()
        if fault := await self._canary.fault_of(kind):
            self._refused[kind] = fault
            return KindRefused(kind, fault)
        return Refused(error)

    async def _write_again(self, messages: Sequence[Storable]) -> Committed:
        """The canary may have been accepted because the database was repaired just then."""
        result = await self._write(messages)
        if isinstance(result, Committed):
            return result
        if suspect_of(result.error) is Suspect.SERVER:
            raise result.error
        raise _NotStored(result)

    def _record(self, committed: Committed, took_s: float) -> None:
        self.duplicates += committed.changes.duplicates.total()
        self._recorder.committed(committed.messages, committed.changes, took_s)
        self._canary.stored(committed.messages)


class _NotStored(Exception):
    """Carries a refusal past `retry_through_outage`, where a result would make the database count as up."""

    def __init__(self, refusal: Refused | KindRefused) -> None:
        super().__init__()
        self.refusal = refusal
