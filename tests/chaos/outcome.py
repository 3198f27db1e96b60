"""What a run has shown, and what of it is wrong."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from redis.exceptions import RedisError

from tests.chaos.console.service import MEMORY_MAX_KIB
from tests.chaos.console.visitor import Visitor
from tests.chaos.fault import Fault
from tests.chaos.load import Load, identity_of
from tests.chaos.pipeline import Pipeline
from tests.chaos.streams import CAP
from tests.chaos.verdict import Verdict
from tests.support.waiting import pause
from traksense_ingest.shared.streams.snapshot import StreamSnapshot

LOOK_EVERY_S = 0.01  # at the streams


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


@dataclass(frozen=True)
class Incident:
    """One fault that was inflicted; times by time.monotonic()."""

    fault: Fault
    started: float
    healed: float
    ended: float  # when the pipeline had recovered, or was given up
    has_recovered: bool
    took_effect: bool  # its sign was seen
    shown_s: float | None = None  # until the console's verdict named it, where it should; inf: it did not
    differs: str | None = None  # what the console and `status` said at the end, where that was not the same

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
    dead_letters: int  # rows, without those of REPLAYED
    watch: Watch
    tracebacks: Sequence[str]
    took_s: float  # from the servers' start to the verdict
    is_replicated: bool = False  # Redis is several servers
    visitor: Visitor | None = None  # of the console, where one ran
    replayed: int = 0  # dead letters that it replayed

    @property
    def names(self) -> Sequence[str]:
        """Of the faults, in alphabetical order."""
        return sorted({incident.fault.name for incident in self.incidents})

    def of(self, name: str) -> Sequence[Incident]:
        """The incidents of a fault."""
        return [incident for incident in self.incidents if incident.fault.name == name]

    def end(self, incident: Incident) -> float:
        """When the next one began; infinite for the last one."""
        return min((other.started for other in self.incidents if other.started > incident.started), default=math.inf)

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
        found += [
            f"{incident.fault.name}: {wrong}" for incident in self.incidents for wrong in _wrongly_shown(incident)
        ]
        if self.visitor and self.visitor.console.highest_kib > MEMORY_MAX_KIB:
            found.append(f"console: took {self.visitor.console.highest_kib} KiB of memory")
        found += [f"console: {problem}" for problem in (self.visitor.problems if self.visitor else ())]
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
        return self.shard.stored - len(good) - self.replayed

    @property
    def is_good(self) -> bool:
        """Nothing lost by the pipeline, nothing twice, and the sums agree."""
        return self.verdict.is_good and not self.complaints


def _wrongly_shown(incident: Incident) -> Iterator[str]:
    """What the console did not show, or showed when it was over."""
    if incident.shown_s == math.inf:
        yield f"the console's verdict did not name {incident.fault.shown!r}"
    if incident.differs:
        yield f"when it was over, {incident.differs}"
