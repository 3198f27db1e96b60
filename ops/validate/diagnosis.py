"""Why a check may have failed: messages that wait or were rejected, services that are not ready, a busy host."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from traksense_ingest.ops.validate import sql
from traksense_ingest.ops.validate.probe import RECEIVED, Probe, topic_of
from traksense_ingest.ops.validate.report import Figures, Finding

BACKLOG = "ingest_queue_size"
QUIET_S = 1.0  # how long the host is measured while nothing is published
SHARE_MIN = 0.7  # of the CPU time that this process could have used
TAKEN_MAX = 0.1  # of the time: by other guests, or by the container's limit
BUSY_MAX = 0.5  # of all CPUs, while nothing is published


class Reading(NamedTuple):
    """Counters of the kernel, in seconds; the CPUs' in ticks, of all of them together."""

    at: float
    ran: float  # this process
    waited: float  # this process, able to run and without a CPU
    throttled: float  # this container, by its limit
    total: int
    idle: int
    stolen: int  # by other guests of the same machine


class Host(NamedTuple):
    """How the CPUs' time was used between two readings, as shares of 1."""

    cpus: int
    share: float  # of the CPU time that this process could have used
    busy: float
    stolen: float
    throttled: float
    quiet_busy: float | None = None  # busy while nothing was published; None if that is not known

    @property
    def reason(self) -> str:
        """`; this host may be why: …`, or nothing if it had enough time."""
        causes = list(self._causes())
        return f"; this host may be why: {', '.join(causes)}" if causes else ""

    def _causes(self) -> Iterator[str]:
        if self.share < SHARE_MIN:
            got = f"validate itself got {self.share:.0%} of the CPU time that it could have used"
            yield f"{got}, {self._cpus} {self.busy:.0%} busy"
        if self.quiet_busy is not None and self.quiet_busy > BUSY_MAX:
            yield f"{self._cpus} {self.quiet_busy:.0%} busy while nothing was published"
        if self.stolen > TAKEN_MAX:
            yield f"{self.stolen:.0%} of it taken by other guests (steal)"
        if self.throttled > TAKEN_MAX:
            yield f"throttled for {self.throttled:.0%} of the time by this container's CPU limit"

    @property
    def _cpus(self) -> str:
        return "1 CPU" if self.cpus == 1 else f"{self.cpus} CPUs"

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return self._asdict()


def read_host(proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")) -> Reading | None:
    """The counters now; None if this is not Linux."""
    try:
        ran, waited, _ = (proc / "self" / "schedstat").read_text().split()
        ticks = [int(word) for word in (proc / "stat").read_text().split("\n", 1)[0].split()[1:9]]
    except (OSError, ValueError):
        return None
    _, _, _, idle, iowait, _, _, stolen = ticks
    return Reading(
        time.monotonic(), int(ran) / 1e9, int(waited) / 1e9, _throttled(cgroup), sum(ticks), idle + iowait, stolen
    )


def between(before: Reading, after: Reading) -> Host:
    """How the time was used."""
    seconds, total = max(after.at - before.at, 1e-9), max(after.total - before.total, 1)
    ran, waited = after.ran - before.ran, after.waited - before.waited
    return Host(
        os.cpu_count() or 1,
        ran / (ran + waited) if ran + waited > 0 else 1.0,
        1 - (after.idle - before.idle) / total,
        (after.stolen - before.stolen) / total,
        (after.throttled - before.throttled) / seconds,
    )


async def host_usage(before: Reading | None, after: Reading | None, *, is_over: bool) -> Host | None:
    """How the time was used; if the pipeline's work is over, the host is measured once more without it."""
    if before is None or after is None:
        return None
    host = between(before, after)
    if not is_over or (quiet := read_host()) is None:
        return host
    await asyncio.sleep(QUIET_S)
    later = read_host()
    return host._replace(quiet_busy=between(quiet, later).busy) if later else host


async def missed(probe: Probe, detail: str, figures: Figures, host: Host | None) -> Finding:
    """A threshold that was missed, and possible causes, the host first."""
    if host:
        detail, figures = detail + host.reason, {**figures, "host": host.as_dict()}
    return Finding(False, detail + await diagnosis(probe), figures)


async def diagnosis(probe: Probe) -> str:
    """Possible causes, to be appended to what is missing: `; 40 dead-lettered (…); writer ready; backlog …`."""
    facts = await _dead_letters(probe)
    facts += [await probe.receiver.readiness(), await probe.writer.readiness()]
    facts += await _unreceived(probe)
    samples = await probe.writer.samples()
    if samples and (backlog := samples.value(BACKLOG)):
        facts.append(f"backlog {backlog:.0f} messages")
    return "".join(f"; {fact}" for fact in facts) + "; see the logs of receiver and writer"


async def _dead_letters(probe: Probe) -> list[str]:
    invalid = topic_of(probe.tenant, "check-3")  # dead-lettered on purpose
    rows = await probe.database.fetch(sql.REASONS, probe.tenant, probe.first_error_id, invalid)
    return [f"{row['count']} dead-lettered ({row['reason']})" for row in rows]


async def _unreceived(probe: Probe) -> list[str]:
    """Whether the receivers have not received a single message since the run began; nothing if that is not known."""
    now = await probe.receiver.samples()
    if probe.received_before is None or now is None or now.value(RECEIVED) > probe.received_before:
        return []
    group = probe.settings.mqtt_shared_group
    cause = f": does the broker know shared subscriptions (MQTT_SHARED_GROUP={group})?" if group else ""
    return [f"the receivers' counters did not move{cause}"]


def _throttled(cgroup: Path) -> float:
    """By cgroup v2; 0 without a limit."""
    try:
        words = (cgroup / "cpu.stat").read_text().split()
        return int(words[words.index("throttled_usec") + 1]) / 1e6
    except (OSError, ValueError, IndexError):
        return 0.0
