"""The collected status: rates between two snapshots, forecasts, the exit code, and the JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, NamedTuple

from traksense_ingest.ops.status import mappings
from traksense_ingest.ops.status.dependency import Dependency, State
from traksense_ingest.ops.status.nodes import as_json as nodes_as_json
from traksense_ingest.ops.status.verdict import verdict
from traksense_ingest.shared.runtime.service import EXIT_FAILED, EXIT_MISCONFIGURED, EXIT_OK
from traksense_ingest.shared.streams.heartbeat import Receiver, Wait, Writer, running
from traksense_ingest.shared.streams.nodes import Node
from traksense_ingest.shared.streams.shard_count import by_shard_count
from traksense_ingest.shared.streams.snapshot import StreamSnapshot

# A backlog of at most so many entries, or of the entries of one second, is what writers are working on.
BEING_WRITTEN, BEING_WRITTEN_S = 10, 1.0
NOISE = 0.02  # of the traffic: less than that is no trend


class Forecast(NamedTuple):
    """`full`, `filling`, `draining`, `steady`, or `keeping_up`; in how many seconds the cap, or the end, is reached."""

    trend: str
    seconds: float | None = None


def forecast(backlog: int, cap: int, in_rate: float, growth: float) -> Forecast:
    """`in_rate` and `growth` are in entries/s."""
    until_empty = backlog / -growth if growth < 0 else None
    if backlog >= cap:
        return Forecast("full", until_empty)
    if backlog <= max(BEING_WRITTEN, BEING_WRITTEN_S * in_rate):
        return Forecast("keeping_up")
    if abs(growth) <= NOISE * in_rate:
        return Forecast("steady")
    return Forecast("draining", until_empty) if growth < 0 else Forecast("filling", (cap - backlog) / growth)


@dataclass(frozen=True)
class Status:
    """Every shard, and every shard a little earlier, for the rates. `now` is None without Redis."""

    before: Sequence[StreamSnapshot]
    now: Sequence[StreamSnapshot] | None
    seconds: float  # between the two
    cap: int  # INGEST_QUEUE_MAX, entries a shard
    lost: Mapping[str, int] | None = None  # by stream: entries deleted with it; None without the database
    dependencies: Sequence[Dependency] = ()
    receivers: Sequence[Receiver] | None = None
    writers: Sequence[Writer] | None = None  # by their heartbeats
    nodes: Sequence[Node] | None = None  # of a Redis Cluster
    nodes_error: str = ""  # why a cluster's nodes can't be shown
    numbers: Sequence[int] = ()  # of the shards, also of those that can't be read
    devices: Mapping[str, int] | None = None  # by status; None if that can't be read
    outages: Mapping[str, float] = field(default_factory=dict)  # by dependency: seconds since the first failure
    is_rate_older: bool = False  # the rates are also of the time when the database could still be used
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def shards(self) -> Sequence[StreamSnapshot]:
        """None of them without Redis."""
        return self.now or ()

    @property
    def balanced(self) -> bool | None:
        """Whether each shard's counts add up, and no stream was deleted with entries in it; None without Redis."""
        if self.now is None:
            return None
        return all(shard.missing == 0 for shard in self.now) and not any((self.lost or {}).values())

    @property
    def shard_counts(self) -> Mapping[int, Sequence[str]]:
        """The processes that run, by their INGEST_SHARDS, which should be one number."""
        return by_shard_count(self.receivers, self.writers)

    @property
    def waits(self) -> Sequence[tuple[str, Wait]]:
        """The processes that run, and what each of them can't use."""
        return [(name, wait) for name, each in running(self.receivers, self.writers) for wait in each.waits]

    @property
    def exit_code(self) -> int:
        """2 if waiting doesn't help, else 1 if a dependency, a node of a cluster or a receiver is down, a process waits
        for something that it can't use, anything is missing or lost, or INGEST_SHARDS differs between processes."""
        if any(dependency.state is State.REFUSED for dependency in self.dependencies):
            return EXIT_MISCONFIGURED
        is_bad = (
            not self.balanced
            or any(dependency.is_bad for dependency in self.dependencies)
            or any(not node.is_reachable for node in self.nodes or ())
            or any(receiver.is_gone for receiver in self.receivers or ())
            or bool(self.waits)
            or len(self.shard_counts) > 1
        )
        return EXIT_FAILED if is_bad else EXIT_OK

    def rate(self, shard: StreamSnapshot, name: str) -> float:
        """How a figure of a shard grows, per second. 0 if its ledger or its stream was recreated in between."""
        gained: int = getattr(shard, name) - getattr(self._before(shard), name)
        return max(0, gained) / max(self.seconds, 1e-9)

    def growth(self, shard: StreamSnapshot) -> float:
        """The growth of its backlog in entries/s; negative if it shrinks."""
        return (shard.in_stream - self._before(shard).in_stream) / max(self.seconds, 1e-9)

    def outage_s(self, component: str) -> float:
        """For how long a dependency could not be used: the longest time that a process or the collector reports; 0 if
        none does."""
        waits = [wait.seconds for _, wait in self.waits if wait.component == component]
        return max([*waits, self.outages.get(component, 0.0)])

    def forecast(self, shard: StreamSnapshot) -> Forecast:
        """How its backlog develops."""
        return forecast(shard.in_stream, self.cap, self.rate(shard, "added"), self.growth(shard))

    def as_json(self) -> str:
        """One object in one line."""
        return json.dumps(self.as_dict(), ensure_ascii=False)

    def as_dict(self) -> dict[str, Any]:
        """For JSON; what is not known is None."""
        return {
            "at": self.at.isoformat(timespec="milliseconds"),
            "ok": self.exit_code == EXIT_OK,
            "verdict": verdict(self)._asdict(),
            "balanced": self.balanced,
            "cap": self.cap,
            "dependencies": {dependency.name: dependency.as_dict() for dependency in self.dependencies},
            "nodes": None if self.nodes is None else nodes_as_json(self.nodes, self.numbers),
            "nodes_error": self.nodes_error or None,
            "receivers": None if self.receivers is None else [each.as_dict() for each in self.receivers],
            "writers": None if self.writers is None else [each.as_dict() for each in self.writers],
            "ingest_shards": {
                "same": len(self.shard_counts) < 2,
                "groups": [{"shards": count, "processes": names} for count, names in self.shard_counts.items()],
            },
            "mappings": mappings.as_json(
                mappings.groups(self.receivers, self.writers), mappings.failed_reloads(self.receivers, self.writers)
            ),
            "devices": None if self.devices is None else dict(self.devices),
            "shards": [self._shard_as_dict(shard) for shard in self.shards],
        }

    def _shard_as_dict(self, shard: StreamSnapshot) -> dict[str, Any]:
        trend, seconds = self.forecast(shard)
        return {
            **shard.as_dict(),
            "lost": None if self.lost is None else self.lost[shard.stream],
            "added_per_s": self.rate(shard, "added"),
            "settled_per_s": self.rate(shard, "settled"),
            "trend": trend,
            "until_full_s": seconds if trend == "filling" else None,
            "until_empty_s": seconds if trend in ("draining", "full") else None,
        }

    def _before(self, shard: StreamSnapshot) -> StreamSnapshot:
        return self._earlier.get(shard.stream, shard)

    @cached_property
    def _earlier(self) -> Mapping[str, StreamSnapshot]:
        return {shard.stream: shard for shard in self.before}
