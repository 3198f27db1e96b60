"""The loop of a writer.

Take a batch; decode each entry to rows or a rejection; store rows and rejections in one transaction; settle what
was stored or rejected; leave the rest pending.

A writer runs a few lanes for each stream, each a consumer of its own: one decodes while another commits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import assert_never

from traksense_ingest.shared.runtime.health import Component
from traksense_ingest.shared.runtime.retry import retry_through_outage
from traksense_ingest.writer.decode.clock import CLOCK, ClockWatch
from traksense_ingest.writer.decode.current import CurrentRoutes
from traksense_ingest.writer.decode.topic import kind_of as kind_of_topic
from traksense_ingest.writer.entry import Entry
from traksense_ingest.writer.outcome import (
    AwaitsBirth,
    Decoded,
    Deferred,
    Handled,
    HeldBack,
    Ignored,
    Outcome,
    Rejected,
)
from traksense_ingest.writer.read.source import BATCH_BYTES, Source
from traksense_ingest.writer.store.births import StoredBirths, births_used
from traksense_ingest.writer.store.bisect import give_up, give_up_waiting
from traksense_ingest.writer.store.canary import Canary, kind_of, statements_of
from traksense_ingest.writer.store.refused_kinds import RefusedKinds
from traksense_ingest.writer.store.store import Storage
from traksense_ingest.writer.watch.failure_log import log_deferred
from traksense_ingest.writer.watch.metrics_recorder import MetricsRecorder


@dataclass(frozen=True)
class LaneContext:
    """What the lanes of a process have in common."""

    decoder: CurrentRoutes
    storage: Storage
    canary: Canary
    refused: RefusedKinds
    clock: ClockWatch
    components: dict[str, Component]
    recorder: MetricsRecorder
    births: StoredBirths
    max_deliveries: int


class Lane:
    """One consumer's loop. It holds one batch, and takes no other before that one is settled or left pending."""

    def __init__(self, source: Source, context: LaneContext) -> None:
        self._source = source
        self._context = context
        self._recoveries = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Handle batches until `stop`; what was read by then is finished first."""
        while not stop.is_set() or self._source.has_read_ahead:
            await self._resume_what_was_held_back()
            if batch := await self._source.take():
                await self._handle(batch, stop)
        await self._source.leave()

    async def _handle(self, batch: Sequence[Entry], stop: asyncio.Event) -> None:
        context = self._context
        await retry_through_outage(context.components["clock"], lambda: context.clock.check(batch))
        for part in self._decode_in_parts(batch):
            await self._finish(await self._decide(part), stop)

    def _decode_in_parts(self, batch: Sequence[Entry]) -> Iterator[list[Outcome]]:
        """All of it at once, unless what a few kilobytes unpack to would take too much memory."""
        part, unpacked = [], 0
        for entry in batch:
            outcome = self._context.decoder.decode(entry)
            part.append(outcome)
            unpacked += outcome.unpacked if isinstance(outcome, Decoded) else 0
            if unpacked >= BATCH_BYTES:
                yield part
                part, unpacked = [], 0
        if part:
            yield part

    async def _finish(self, outcomes: Sequence[Handled], stop: asyncio.Event) -> None:
        result = await self._context.storage.store_batch(outcomes)
        self._source.limit(result.batch_limit)
        self._context.recorder.settled(await self._source.settle(result.settled, result.duplicates))
        await self._leave_pending(result.deferred)
        self._context.recorder.awaiting.add(result.awaiting)
        await self._source.defer(result.awaiting)
        await self._hold_back(result.held_back, len(outcomes), stop)

    async def _decide(self, decoded: Sequence[Outcome]) -> list[Handled]:
        outcomes = self._context.clock.hold_back(await self._with_births(decoded))
        await self._ask_about({_kind_of_deferred(outcome) for outcome in outcomes if isinstance(outcome, Deferred)})
        return [self._decided(outcome) for outcome in outcomes]

    async def _with_births(self, decoded: Sequence[Outcome]) -> Sequence[Outcome]:
        """Sparkplug messages whose BIRTH this process did not know, or of which another writer has stored a later one,
        decoded again with what the table has."""
        context, used = self._context, births_used(decoded)
        if not used:
            return decoded
        later = await retry_through_outage(context.components["database"], lambda: context.births.load(used))
        return [self._again(outcome, later) for outcome in decoded]

    def _again(self, outcome: Outcome, later: Mapping[str, datetime]) -> Outcome:
        if isinstance(outcome, AwaitsBirth) or _has_newer_birth(later, outcome):
            outcome = self._context.decoder.decode(outcome.entry)
        return give_up_waiting(outcome) if isinstance(outcome, AwaitsBirth) else outcome

    async def _ask_about(self, kinds: Iterable[str]) -> None:
        """A bug keeps messages of these kinds from being decoded: hold a kind back where a good one fails, too."""
        context = self._context
        for kind in kinds:
            if fault := await retry_through_outage(
                context.components["database"], partial(context.canary.fault_of, kind)
            ):
                context.refused.add(kind, fault)

    def _decided(self, outcome: Handled) -> Handled:
        """What is not worth a try now is held back; what a bug stopped too often is given up."""
        match outcome:
            case Decoded() | Rejected():
                return self._unless_refused(kind_of(outcome), outcome)
            case HeldBack() | Ignored() | AwaitsBirth():
                return outcome
            case Deferred():
                return self._unless_refused(_kind_of_deferred(outcome), give_up(outcome, self._context.max_deliveries))
            case _:
                assert_never(outcome)

    def _unless_refused(self, kind: str, outcome: Decoded | Rejected | Deferred) -> Handled:
        fault = self._context.refused.fault_of(kind)
        return HeldBack(outcome.entry, kind, fault) if fault else outcome

    async def _leave_pending(self, deferred: Sequence[Deferred]) -> None:
        log_deferred(deferred)
        self._context.recorder.deferred(len(deferred))
        await self._source.defer(deferred)

    async def _hold_back(self, held: Sequence[HeldBack], count: int, stop: asyncio.Event) -> None:
        """Leave these pending without a counted try. Where too many were rejected, nothing more is done at all."""
        if excess := self._context.recorder.share.fault:
            messages = self._context.components["messages"]
            messages.down(excess)
            with messages.wait():
                await stop.wait()
            return
        for kind, fault in {outcome.kind: outcome.fault for outcome in held if outcome.kind != CLOCK}.items():
            self._context.refused.add(kind, fault)
        if len(held) == count:
            self._source.take_new_first()
            await self._context.refused.pause(stop)

    async def _resume_what_was_held_back(self) -> None:
        refused, clock = self._context.refused, self._context.clock
        await refused.recheck()
        clock.recheck()
        if self._recoveries != (recoveries := refused.recoveries + clock.recoveries):
            self._recoveries = recoveries
            self._source.read_pending_again()


def _kind_of_deferred(outcome: Deferred) -> str:
    """Of one that couldn't be decoded, by its mapping or its topic."""
    kind = outcome.kind or kind_of_topic(outcome.entry.topic)
    return "telem" if kind == "unknown" else statements_of(kind)


def _has_newer_birth(births: Mapping[str, datetime], outcome: Outcome) -> bool:
    """Whether one of these BIRTHs was received before the message, which has names or data types of an earlier one."""
    if not isinstance(outcome, Decoded | Rejected) or outcome.named_by is None:
        return False
    born_at = births.get(outcome.named_by.device_key)
    return born_at is not None and born_at <= outcome.entry.received_at
