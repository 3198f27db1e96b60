"""The five stages of the pipeline, from the broker to the database: of each its state, a rate and its worst problem."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from traksense_ingest.ops.status.dependency import Dependency
from traksense_ingest.ops.status.report import Status
from traksense_ingest.ops.status.streams import StreamRow
from traksense_ingest.ops.status.verdict import BAD, GOOD, WARNING
from traksense_ingest.ops.terminal import duration, number, printable

UNKNOWN = "not known without Redis"


class Stage(NamedTuple):
    """`level` is good, warning or bad; `rate` is None where it is not known, in `unit`; `problem` may be empty."""

    name: str
    level: str
    state: str
    rate: float | None
    unit: str
    problem: str = ""


def stages_of(status: Status) -> Iterator[Stage]:
    """From the broker to the database."""
    yield _broker(status)
    yield _receivers(status)
    yield _streams(status)
    yield _writers(status)
    yield _database(status)


def _broker(status: Status) -> Stage:
    """As the receivers report it: a client that only checks the broker would add a line to its log each time."""
    running = [each for each in status.receivers or () if not each.is_gone]
    connected = sum(each.broker for each in running)
    rate = sum(each.appended_per_s for each in running) if status.receivers is not None else None
    problem = _wait(status, "broker", "receiver")
    if status.receivers is None:
        level, state = WARNING, UNKNOWN
    elif not running:
        level, state = WARNING, "not known: no receiver is running"
    elif connected == len(running):
        level, state = GOOD, "connected"
    else:
        level = BAD if problem else WARNING
        state = f"{connected} of {len(running)} connected" if connected else "not connected"
    if not problem and any(shard.in_stream >= status.cap for shard in status.shards):
        problem = "a stream is full: the broker keeps the messages"
    return Stage("Broker", level, state, rate, "messages/s delivered", problem)


def _receivers(status: Status) -> Stage:
    receivers = status.receivers
    rate = sum(status.rate(shard, "added") for shard in status.shards) if status.now is not None else None
    unit = "messages/s appended"
    if receivers is None:
        return Stage("Receivers", WARNING, UNKNOWN, rate, unit)
    gone = [each for each in receivers if each.is_gone]
    running = len(receivers) - len(gone)
    state = f"{running} running" + (f", {len(gone)} gone" if gone else "")
    problem = _wait(status, "redis", "receiver")
    level = BAD if gone or problem else GOOD if running else WARNING
    if not problem and gone:
        oldest = max(gone, key=lambda each: each.idle_s)
        problem = f"{printable(oldest.client_id)} has been gone for {duration(oldest.idle_s)}"
    waiting = sum(each.waiting for each in receivers if not each.is_gone)
    if not problem and waiting:
        level, problem = WARNING, f"{number(waiting, 'receiver')} wait{'s' * (waiting == 1)} for room in a full stream"
    return Stage("Receivers", level, state, rate, unit, problem)


def _streams(status: Status) -> Stage:
    redis = _dependency(status, "redis")
    unit = "entries/s growth"
    if status.now is None:
        problem = printable(redis.error) if redis else ""
        return Stage(
            "Streams", BAD, f"Redis {redis.state.value}" if redis and redis.is_bad else UNKNOWN, None, unit, problem
        )
    all_ = StreamRow("", status.now, "")
    growth = sum(status.growth(shard) for shard in status.now)
    level = BAD if not status.balanced else WARNING if all_.level(status) == BAD else all_.level(status)
    state = f"{number(all_.in_stream, 'entry') if all_.in_stream == 1 else f'{all_.in_stream} entries'} wait"
    state = "empty" if not all_.in_stream else state + "s" * (all_.in_stream == 1)
    return Stage("Streams", level, state, growth, unit, _stream_problem(status))


def _stream_problem(status: Status) -> str:
    """Lost entries, else the stream that is full or will be full or empty next, else a backlog that does not shrink."""
    if not status.balanced:
        return "the counts do not balance: see below"
    trends = [(status.forecast(shard), shard) for shard in status.shards]
    for trend, words in (("full", "{} is full"), ("filling", "{} is full in {}"), ("draining", "{} is empty in {}")):
        found = [(each.seconds or 0.0, shard.stream) for each, shard in trends if each.trend == trend]
        if found:
            seconds, stream = (max if trend == "draining" else min)(found)
            return words.format(stream, duration(seconds))
    if any(each.trend == "steady" for each, _ in trends):
        return "the backlog does not shrink"
    return ""


def _writers(status: Status) -> Stage:
    unit = "rows/s stored"
    if status.writers is None:
        return Stage("Writers", WARNING, UNKNOWN, None, unit)
    rates = [each.rows_per_s for each in status.writers if each.rows_per_s is not None]
    problem = next(
        (
            _wait(status, name, "writer")
            for name in ("database", "redis", "clock", "messages")
            if _wait(status, name, "writer")
        ),
        "",
    )
    level = BAD if problem else GOOD if status.writers else WARNING
    state = f"{len(status.writers)} running" if status.writers else "none running"
    failed = [each.name for each in status.writers if each.reload_error]
    if not problem and failed:
        level, problem = WARNING, f"{printable(failed[0])}: the last reload of the mappings failed"
    return Stage("Writers", level, state, sum(rates) if rates or not status.writers else None, unit, problem)


def _database(status: Status) -> Stage:
    rate = sum(status.rate(shard, "settled") for shard in status.shards) if status.now is not None else None
    unit = "entries/s settled"
    dependency = _dependency(status, "database")
    if dependency is not None and dependency.is_bad:
        seconds = status.outage_s("database")
        state = dependency.state.value + (f" for {duration(seconds)}" if seconds else "")
        return Stage("Database", BAD, state, rate, unit, printable(dependency.error))
    if problem := _wait(status, "database", "writer"):
        return Stage("Database", BAD, "answers, but can't be used", rate, unit, problem)
    return Stage("Database", GOOD, "answers", rate, unit)


def _wait(status: Status, component: str, kind: str) -> str:
    """Why a process of this kind can't use a component; of several, the one that has waited longest."""
    found = [
        (w.seconds, name, w.reason) for name, w in status.waits if w.component == component and name.startswith(kind)
    ]
    if not found:
        return ""
    seconds, name, reason = max(found)
    return f"{printable(name)} has waited for {duration(seconds)}: {printable(reason)}"


def _dependency(status: Status, name: str) -> Dependency | None:
    return next((each for each in status.dependencies if each.name == name), None)
