"""One run: a steady load, one fault after another in an order that the seed decides, and the verdict."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from redis.exceptions import RedisError

from tests.chaos.fault import Fault
from tests.chaos.faults import Choose, all_faults
from tests.chaos.load import TENANTS, Load, identity_of, moment_of
from tests.chaos.pipeline import Pipeline, running
from tests.chaos.setup import Setup
from tests.chaos.signs import Figures, has_grown
from tests.chaos.streams import CAP
from tests.chaos.verdict import BrokerEnd, Verdict, judge
from tests.support.waiting import eventually, pause, watching
from traksense_ingest.shared import config
from traksense_ingest.shared.failure import DATABASE_ERRORS
from traksense_ingest.shared.streams.snapshot import StreamSnapshot

LOOK_EVERY_S, JUDGE_EVERY_S = 0.01, 0.5  # at the stream; at the tables, which takes a while
STUCK_S = 60.0  # what has not recovered by then never will: no time-out of the services is longer than 30 s
QUIET_S = 15.0  # what is still missing after so long without a change is lost
SIGN_LIMIT_S = 45.0  # for the sign of a fault, which may be a time-out of 30 s


@dataclass(frozen=True)
class Incident:
    """One fault that was inflicted; times by time.monotonic()."""

    fault: Fault
    started: float
    healed: float
    ended: float  # when the pipeline had recovered, or was given up
    has_recovered: bool
    took_effect: bool  # its sign was seen

    @property
    def took_s(self) -> float:
        """From the end of the fault until all that came during it was stored, and new messages too."""
        return self.ended - self.healed


@dataclass(frozen=True)
class Outcome:
    """What a run has shown."""

    incidents: Sequence[Incident]
    load: Load
    verdict: Verdict
    shard: StreamSnapshot
    dead_letters: int  # rows
    watch: Watch
    tracebacks: Sequence[str]
    took_s: float  # from the servers' start to the verdict
    is_replicated: bool = False  # Redis is several servers

    @property
    def complaints(self) -> list[str]:
        """What is wrong besides messages; empty when nothing is."""
        found = [
            f"{incident.fault.name}: not recovered after {incident.took_s:.0f} s"
            for incident in self.incidents
            if not incident.has_recovered
        ]
        found += [
            f"{incident.fault.name}: did nothing: {incident.fault.sign.what}"
            for incident in self.incidents
            if incident.fault.sign and not incident.took_effect
        ]
        found += [f"an error that the services do not handle:\n{text}" for text in self.tracebacks[:3]]
        if self.watch.highest > self.watch.cap:
            found.append(f"the stream held {self.watch.highest} entries, {self.watch.cap} are allowed")
        if self.watch.unbalanced:
            found.append(f"the ledger was unbalanced at some moment: {self.watch.unbalanced}")
        if self.shard.missing or self.shard.in_stream or self.shard.pending:
            found.append(f"the ledger is unbalanced: {self.shard}")
        # One that a replica did not have when it was promoted is appended again, and is a dead letter twice.
        too_many = 0 if self.is_replicated else self.dead_letters - self.shard.dead_lettered
        if self.dead_letters < self.shard.dead_lettered or too_many > 0:
            found.append(f"{self.dead_letters} dead letters, {self.shard.dead_lettered} by the ledger")
        if self.shard.duplicates < self.came_again:
            known = f"the ledger has {self.shard.duplicates} duplicates"
            found.append(f"{self.came_again} good messages came again, and {known}")
        return found

    @property
    def came_again(self) -> int:
        """Good messages that were settled as stored once more. The ledger counts each row of theirs as a duplicate; and
        those of a writer that was killed between COMMIT and XACK."""
        good = [number for number in self.verdict.stored if identity_of(number).kind != "poison"]
        return self.shard.stored - len(good)

    @property
    def is_good(self) -> bool:
        """Nothing lost by the pipeline, nothing twice, and the sums agree."""
        return self.verdict.is_good and not self.complaints


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
        load = Load(config.load(mqtt_url=pipeline.broker.url), setup.rate)
        watch = Watch(pipeline.streams.cap)
        incidents: list[Incident] = []
        async with watching(watch.run(pipeline)):
            async with load.running():
                faults = choose(all_faults(pipeline), random)
                for index, fault in enumerate(faults, start=1):
                    incidents.append(await _incident(pipeline, load, fault))
                    log(f"{index}/{len(faults)} {_line(incidents[-1])}")
            verdict = await _settled(pipeline, load, incidents)
        connection = await pipeline.database()
        dead_letters = await connection.fetchval("SELECT count(*) FROM ingest_errors")
        await connection.close()
        tracebacks = [text for service in pipeline.services for text in service.tracebacks]
        shard = await pipeline.streams.total()
        took_s = time.monotonic() - started
        is_replicated = pipeline.streams.replicas > 0
        return Outcome(incidents, load, verdict, shard, dead_letters, watch, tracebacks, took_s, is_replicated)


class Watch:
    """Observes the streams and their ledgers all the time."""

    def __init__(self, cap: int = CAP) -> None:
        self.cap = cap  # entries that a stream may have
        self.highest = 0  # that one had
        self.unbalanced: StreamSnapshot | None = None  # the last snapshot whose sums did not agree

    async def run(self, pipeline: Pipeline) -> None:
        """Every few milliseconds."""
        while True:
            with contextlib.suppress(RedisError, OSError):
                async for shard in pipeline.streams.snapshots():
                    self.highest = max(self.highest, shard.in_stream)
                    self.unbalanced = shard if shard.missing else self.unbalanced
                    await pause(LOOK_EVERY_S)
            await pause(LOOK_EVERY_S)


async def _incident(pipeline: Pipeline, load: Load, fault: Fault) -> Incident:
    """Starts when all services are ready and store what is published: one that is still starting would not notice some
    faults."""
    await pipeline.ready()
    ready = time.monotonic()
    with contextlib.suppress(AssertionError):  # the fault before has not passed: this one will not recover either
        await eventually(lambda: _flows(pipeline, load, ready), timeout=STUCK_S)
    before = await _figures(pipeline, fault)
    started = time.monotonic()
    async with fault.inflict(pipeline):
        await pause(fault.lasts_s)
        healed = time.monotonic()
        took_effect = await shows(pipeline, fault, before)
    healed = healed if fault.passes_by_itself else time.monotonic()

    async def has_recovered() -> bool:
        for service in pipeline.services:
            service.check()
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
    return Incident(fault, started, healed, ended, recovered, took_effect)


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
