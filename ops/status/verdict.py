"""The status in one sentence: what is wrong, what that means for the data, and for how long the pipeline can go on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from traksense_ingest.ops.status.dependency import State
from traksense_ingest.ops.status.report import Status
from traksense_ingest.ops.terminal import duration, number, printable

GOOD, WARNING, BAD = "good", "warning", "bad"

_DOWN = {State.UNREACHABLE: "does not answer", State.REFUSED: "rejects the connection", State.WRONG: "can't be used"}


class Verdict(NamedTuple):
    """`good`, `warning` or `bad`, and one sentence."""

    level: str
    text: str


def verdict(status: Status) -> Verdict:
    """The worst of what is so now."""
    return next(_verdicts(status))


def _verdicts(status: Status) -> Iterator[Verdict]:
    """The worst one first; the last one is always there."""
    yield from _redis(status)
    yield from _losses(status)
    yield from _database(status)
    yield from _streams(status)
    yield from _processes(status)
    yield from _notes(status)
    rate = sum(status.rate(shard, "settled") for shard in status.shards)
    stored = f"{number(round(rate), 'message')}/s are stored as they come" if rate >= 0.5 else "nothing comes in"
    yield Verdict(GOOD, f"All is well: {stored.replace('1 message/s are', '1 message/s is')}.")


def _redis(status: Status) -> Iterator[Verdict]:
    if _is_bad(status, "redis"):
        what = f"Redis {_how(status, 'redis')}{_since(status, 'redis')}"
        yield Verdict(BAD, f"{what}: receivers acknowledge nothing, so the broker keeps the messages.")
    elif status.now is None:
        yield Verdict(BAD, "The streams can't be read: how many messages wait is not known.")


def _losses(status: Status) -> Iterator[Verdict]:
    missing = sum(max(0, shard.missing) for shard in status.shards) + sum((status.lost or {}).values())
    if missing:
        yield Verdict(BAD, f"{_are(missing, 'entry', 'entries')} gone from the streams that no writer has stored.")
    elif status.balanced is False:
        yield Verdict(BAD, "A stream was deleted and made again: its counts do not add up.")


def _database(status: Status) -> Iterator[Verdict]:
    waits = [wait for _, wait in status.waits if wait.component == "database"]
    if _is_bad(status, "database") or waits:
        how = _how(status, "database") if _is_bad(status, "database") else "can't be used by a writer"
        what = f"The database {how}{_since(status, 'database')}"
        yield Verdict(BAD, f"{what}: nothing is lost, the backlog grows{_room(status)}.")


def _streams(status: Status) -> Iterator[Verdict]:
    full = [shard.stream for shard in status.shards if status.forecast(shard).trend == "full"]
    if full:
        which = full[0] if len(full) == 1 else f"{len(full)} streams"
        is_ = "is" if len(full) == 1 else "are"
        yield Verdict(BAD, f"{which} {is_} full: receivers wait, so the broker keeps the messages.")
    if status.writers is not None and not status.writers and any(shard.in_stream for shard in status.shards):
        yield Verdict(BAD, f"No writer is running: nothing is lost, the backlog grows{_room(status)}.")
    if (room := _room_s(status)) is not None:
        yield Verdict(WARNING, f"More comes in than is stored: room for {duration(room)}.")
    draining = [status.forecast(shard) for shard in status.shards if status.forecast(shard).trend == "draining"]
    if draining:
        longest = max(forecast.seconds or 0.0 for forecast in draining)
        yield Verdict(WARNING, f"Writers work off a backlog: empty in {duration(longest)}.")


def _processes(status: Status) -> Iterator[Verdict]:
    receivers = status.receivers or ()
    running = [each for each in receivers if not each.is_gone]
    if _is_bad(status, "broker"):
        yield Verdict(BAD, f"The broker {_how(status, 'broker')}{_since(status, 'broker')}: nothing new comes in.")
    if status.receivers is not None and not running:
        yield Verdict(BAD, "No receiver is running: messages wait at the broker, as far as it keeps them.")
    without = [each for each in running if not each.broker]
    if without:
        which = number(len(without), "receiver")
        has = "has" if len(without) == 1 else "have"
        yield Verdict(BAD, f"{which} {has} no connection to the broker{_since(status, 'broker')}.")
    gone = len(receivers) - len(running)
    if gone:
        session = "its session" if gone == 1 else "their sessions"
        yield Verdict(BAD, f"{_are(gone, 'receiver', 'receivers')} gone: {session} at the broker may hold messages.")


def _notes(status: Status) -> Iterator[Verdict]:
    if status.waits:
        name, wait = status.waits[0]
        what = f"{printable(name)} can't use {printable(wait.component)}"
        yield Verdict(BAD, f"{what} for {duration(wait.seconds)}: {printable(wait.reason)}")
    if len(status.shard_counts) > 1:
        yield Verdict(BAD, "Receivers and writers have different INGEST_SHARDS: messages may be stored out of order.")
    unreachable = [node for node in status.nodes or () if not node.is_reachable]
    if unreachable:
        yield Verdict(BAD, f"{_are(len(unreachable), 'node', 'nodes')} of the Redis Cluster unreachable.")


def _is_bad(status: Status, name: str) -> bool:
    return any(each.name == name and each.is_bad for each in status.dependencies)


def _how(status: Status, name: str) -> str:
    return next(_DOWN[each.state] for each in status.dependencies if each.name == name)


def _since(status: Status, component: str) -> str:
    """For how long, as far as a process says it."""
    seconds = [wait.seconds for _, wait in status.waits if wait.component == component]
    return f" (for {duration(max(seconds))})" if seconds else ""


def _room(status: Status) -> str:
    room = _room_s(status)
    return "" if room is None else f", room for {duration(room)}"


def _room_s(status: Status) -> float | None:
    """Until the first stream is full, if one fills."""
    forecasts = [status.forecast(shard) for shard in status.shards]
    return min(
        (each.seconds for each in forecasts if each.trend == "filling" and each.seconds is not None), default=None
    )


def _are(count: int, one: str, several: str) -> str:
    return f"{count} {one} is" if count == 1 else f"{count} {several} are"
