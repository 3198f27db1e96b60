"""One run: a steady load, one fault after another in an order that the seed decides, and the verdict."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import asyncpg

from tests.chaos.console import replay, sums
from tests.chaos.console.visitor import Visitor
from tests.chaos.fault import Fault
from tests.chaos.faults import Choose, all_faults
from tests.chaos.load import REPLAYED, TENANTS, Load, identity_of, moment_of
from tests.chaos.outcome import Incident, Outcome, Watch
from tests.chaos.pipeline import Pipeline, running
from tests.chaos.setup import Setup
from tests.chaos.signs import Figures, has_grown
from tests.chaos.verdict import BrokerEnd, Verdict, judge
from tests.support.waiting import eventually, pause, watching
from traksense_ingest.shared import config
from traksense_ingest.shared.failure import DATABASE_ERRORS
from traksense_ingest.shared.streams.snapshot import StreamSnapshot

JUDGE_EVERY_S = 0.5  # at the tables, which takes a while
STUCK_S = 60.0  # what has not recovered by then never will: no time-out of the services is longer than 30 s
QUIET_S = 15.0  # what is still missing after so long without a change is lost
SIGN_LIMIT_S = 45.0  # for the sign of a fault, which may be a time-out of 30 s
_DEAD_LETTERS = "SELECT count(*) FROM ingest_errors WHERE tenant_id IS DISTINCT FROM $1"


async def run(
    setup: Setup,
    directory: Path,
    random: Random,
    choose: Choose,
    log: Callable[[str], None],
) -> Outcome:
    """Everything from the servers' start to the verdict; `choose` picks the faults and their order.

    Raises EndedByItself when a service does.
    """
    started = time.monotonic()
    async with running(setup, directory, random) as pipeline:
        if pipeline.visitor is None:
            log("no console runs: the extra `console` is not installed")
        load = Load(config.load(mqtt_url=pipeline.broker.url), setup.rate)
        watch = Watch(pipeline.streams.cap)
        incidents: list[Incident] = []
        async with watching(watch.run(pipeline)), _visited(pipeline) as visitor:
            async with load.running():
                faults = choose(all_faults(pipeline), random)
                for index, fault in enumerate(faults, start=1):
                    incidents.append(await _incident(pipeline, load, fault))
                    log(f"{index}/{len(faults)} {_line(incidents[-1])}")
            if visitor:
                with visitor.noting("the end of the replay"):
                    await replay.end(visitor)
            verdict = await _settled(pipeline, load, incidents)
        shard = await pipeline.streams.total()
        connection = await pipeline.database()
        replayed = await _compared(visitor, connection, shard) if visitor else 0
        dead_letters = await connection.fetchval(_DEAD_LETTERS, REPLAYED)
        await connection.close()
        tracebacks = [text for service in pipeline.services for text in service.tracebacks]
        tracebacks += visitor.console.tracebacks if visitor else []
        return Outcome(
            incidents,
            load,
            verdict,
            shard,
            dead_letters,
            watch,
            tracebacks,
            took_s=time.monotonic() - started,
            is_replicated=pipeline.streams.replicas > 0,
            visitor=visitor,
            replayed=replayed,
        )


@asynccontextmanager
async def _visited(pipeline: Pipeline) -> AsyncIterator[Visitor | None]:
    """Somebody visits the console for as long as the block."""
    if pipeline.visitor is None:
        yield None
        return
    async with watching(pipeline.visitor.run()):
        yield pipeline.visitor


async def _compared(visitor: Visitor, connection: asyncpg.Connection, shard: StreamSnapshot) -> int:
    """Compare what the console shows at the end with the database and the ledger; returns how many dead letters it
    replayed."""
    await sums.compare(visitor, connection, shard)
    return await replay.check(visitor, connection)


async def _incident(pipeline: Pipeline, load: Load, fault: Fault) -> Incident:
    """Starts when all services are ready and store what is published: one that is still starting would not notice some
    faults."""
    await pipeline.ready()
    ready = time.monotonic()
    with contextlib.suppress(AssertionError):  # the fault before has not passed: this one will not recover either
        await eventually(lambda: _flows(pipeline, load, ready), timeout=STUCK_S)
    if pipeline.visitor:
        await _replaying(pipeline, pipeline.visitor)
    before = await _figures(pipeline, fault)
    started = time.monotonic()
    async with fault.inflict(pipeline):
        await pause(fault.lasts_s)
        healed = time.monotonic()
        took_effect = await shows(pipeline, fault, before)
        shown_s = await _shown_s(pipeline, fault, started)
    healed = healed if fault.passes_by_itself else time.monotonic()

    async def has_recovered() -> bool:
        pipeline.check()
        # What a broker forgot in its crash, or took in before the receivers were back, never comes.
        during = set() if fault.ends_broker else load.record.between(started, healed)
        stored = await _stored(pipeline, during)
        return stored >= _telemetry(during) and await _flows(pipeline, load, healed)

    recovered = True
    try:
        await eventually(has_recovered, timeout=STUCK_S)
    except AssertionError:
        recovered = False
    ended = time.monotonic()
    is_replicated = pipeline.streams.replicas > 0
    differs = await pipeline.visitor.agrees(is_replicated=is_replicated) if pipeline.visitor else None
    return Incident(fault, started, healed, ended, recovered, took_effect, shown_s, differs)


async def _replaying(pipeline: Pipeline, visitor: Visitor) -> None:
    """Dead letters are replayed with the console."""
    connection = await pipeline.database()
    with visitor.noting("a replay"):
        await replay.keep_running(visitor, connection)
    await connection.close()


async def _shown_s(pipeline: Pipeline, fault: Fault, started: float) -> float | None:
    """How long it took until the console's verdict named what is down."""
    if not fault.shown or pipeline.visitor is None:
        return None
    is_shown = await pipeline.visitor.sees(fault.shown, started)
    return time.monotonic() - started if is_shown else math.inf


async def _figures(pipeline: Pipeline, fault: Fault) -> Figures:
    return await fault.sign.read(pipeline) if fault.sign else {}


async def shows(pipeline: Pipeline, fault: Fault, before: Figures, limit_s: float = SIGN_LIMIT_S) -> bool:
    """Wait for the fault's sign; False where it is not seen in time."""

    async def is_seen() -> bool:
        return has_grown(before, await _figures(pipeline, fault))

    if fault.sign is None:
        return True
    try:
        await eventually(is_seen, timeout=limit_s)
    except AssertionError:
        return False
    return True


async def _flows(pipeline: Pipeline, load: Load, since: float) -> bool:
    """Whether something is stored of each tenant that was acknowledged since then."""
    stored = await _stored(pipeline, load.record.between(since, time.monotonic()))
    return len({number % len(TENANTS) for number in stored}) == len(TENANTS)


async def _stored(pipeline: Pipeline, numbers: set[int]) -> set[int]:
    """The telemetry among these that is in its table."""
    moments = {moment_of(number): number for number in _telemetry(numbers)}
    if not moments:
        return set()
    span = min(moments), max(moments)
    try:
        connection = await pipeline.database()
        try:
            rows = await connection.fetch("SELECT DISTINCT ts FROM ts_measure WHERE ts BETWEEN $1 AND $2", *span)
        finally:
            await connection.close()
    except (OSError, *DATABASE_ERRORS):  # it is starting, or was ended meanwhile
        return set()
    return {moments[row["ts"]] for row in rows if row["ts"] in moments}


def _telemetry(numbers: set[int]) -> set[int]:
    return {number for number in numbers if identity_of(number).kind == "telem"}


async def _settled(pipeline: Pipeline, load: Load, incidents: Sequence[Incident]) -> Verdict:
    """The verdict, once nothing is missing, or what is missing has been so for long."""
    ends = [BrokerEnd(incident.started, incident.ended) for incident in incidents if incident.fault.ends_broker]
    connection = await pipeline.database()
    before, since = -1, time.monotonic()
    try:
        while True:
            verdict = await judge(connection, load, pipeline.seen, ends)
            shard = await pipeline.streams.total()
            left = len(verdict.lost) + len(verdict.lost_by_broker) + shard.in_stream
            if left != before:
                before, since = left, time.monotonic()
            if left == 0 or time.monotonic() - since > QUIET_S:
                return verdict
            await pause(JUDGE_EVERY_S)
    finally:
        await connection.close()


def _line(incident: Incident) -> str:
    how = "recovered" if incident.has_recovered else "given up"
    return f"{incident.fault.name}: {how} after {incident.took_s:.1f} s"
