"""The status in one sentence: what is wrong, what that means for the data, and when a stream will be full.

It is bad exactly if the exit code of `status` is not 0. A warning is a state that ends by itself, or that loses
nothing: a full stream, a backlog, no receiver, no writer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from traksense_ingest.ops.status.dependency import State
from traksense_ingest.ops.status.mappings import failed_reloads, groups
from traksense_ingest.ops.terminal import duration, number, printable

if TYPE_CHECKING:
    from traksense_ingest.ops.status.report import Status

GOOD, WARNING, BAD = "good", "warning", "bad"
LEVELS = (BAD, WARNING, GOOD)  # the worst one first

_REFUSED = {"database": "rejects the connection, or is not migrated"}


class Verdict(NamedTuple):
    """`good`, `warning` or `bad`, and one sentence."""

    level: str
    text: str


def verdict(status: Status) -> Verdict:
    """The worst state of now; of several, the one that explains most."""
    return min(_verdicts(status), key=lambda each: LEVELS.index(each.level))


def _verdicts(status: Status) -> Iterator[Verdict]:
    yield from _redis(status)
    yield from _losses(status)
    yield from _database(status)
    yield from _broker(status)
    yield from _receivers(status)
    yield from _processes(status)
    yield from _streams(status)
    yield from _mappings(status)
    yield Verdict(GOOD, _well(status))


def _redis(status: Status) -> Iterator[Verdict]:
    state = _state(status, "redis")
    if state is State.UNREACHABLE:
        text = "receivers acknowledge nothing, so the broker keeps the messages"
        yield Verdict(BAD, f"Redis {_down(status, 'redis')}: {text}.")
    elif state in (State.REFUSED, State.WRONG) or status.now is None:
        what = f"Redis {_down(status, 'redis')}" if state in (State.REFUSED, State.WRONG) else "A stream can't be read"
        yield Verdict(BAD, f"{what}: the backlog is not known.")
    unreachable = [node for node in status.nodes or () if not node.is_reachable]
    if unreachable:
        yield Verdict(BAD, f"{_are(len(unreachable), 'node', ' of the Redis Cluster')} unreachable.")


def _losses(status: Status) -> Iterator[Verdict]:
    lost = sum(max(0, shard.missing) for shard in status.shards) + sum((status.lost or {}).values())
    if lost:
        entries = "1 entry has" if lost == 1 else f"{lost} entries have"
        yield Verdict(BAD, f"{entries} left the streams without being stored.")
    elif status.balanced is False:
        yield Verdict(BAD, "A stream was deleted and recreated: its counts do not balance.")


def _database(status: Status) -> Iterator[Verdict]:
    waiting = _waiting(status, "database")
    is_stored = not status.is_rate_older and sum(status.rate(shard, "settled") for shard in status.shards) >= 0.5
    if _is_bad(status, "database"):
        what = f"The database {_down(status, 'database')}"
        if is_stored and not waiting:
            yield Verdict(BAD, f"{what} for this check, but writers store messages.")
        else:
            yield Verdict(BAD, f"{what}: {_kept(status)}.")
    elif waiting:
        who = _of(waiting, len(status.writers or ()), "writer")
        yield Verdict(BAD, f"{who} can't use the database{_since(status, 'database')}: {_kept(status)}.")


def _broker(status: Status) -> Iterator[Verdict]:
    running = [each for each in status.receivers or () if not each.is_gone]
    connected, waiting = sum(each.broker for each in running), _waiting(status, "broker")
    is_asked = _is_bad(status, "broker")
    if is_asked and connected:
        yield Verdict(BAD, f"The broker {_down(status, 'broker')} for this check, but receivers are connected.")
    elif is_asked or (waiting and not connected):
        yield Verdict(BAD, f"The broker {_down(status, 'broker')}: no new messages arrive.")
    elif waiting:
        who = _of(waiting, len(running), "receiver")
        yield Verdict(BAD, f"{who} can't use the broker{_since(status, 'broker')}.")


def _receivers(status: Status) -> Iterator[Verdict]:
    receivers = status.receivers or ()
    gone = sum(each.is_gone for each in receivers)
    if gone:
        session = "its session" if gone == 1 else "their sessions"
        yield Verdict(BAD, f"{_are(gone, 'receiver')} gone: {session} at the broker may hold messages.")
    if status.receivers is not None and gone == len(receivers):
        yield Verdict(WARNING, "No receiver is running: messages wait at the broker, up to its own limits.")
    starting = sum(not (each.is_gone or each.broker or each.waits) for each in receivers)
    if starting:
        yield Verdict(WARNING, f"{_are(starting, 'receiver')} not connected to the broker yet.")


def _processes(status: Status) -> Iterator[Verdict]:
    if status.waits:
        name, wait = status.waits[0]
        others = {other for other, _ in status.waits} - {name}
        more = f" (and {number(len(others), 'other')})" if others else ""
        since, why = duration(wait.seconds), printable(wait.reason)
        yield Verdict(BAD, f"{printable(name)}{more} can't use {printable(wait.component)} (for {since}): {why}")
    if len(status.shard_counts) > 1:
        yield Verdict(BAD, "Receivers and writers have different INGEST_SHARDS: messages may be stored out of order.")


def _streams(status: Status) -> Iterator[Verdict]:
    trends = [(shard, *status.forecast(shard)) for shard in status.shards]
    full = [shard.stream for shard, trend, _ in trends if trend == "full"]
    if full:
        which = f"{full[0]} is" if len(full) == 1 else f"{len(full)} streams are"
        yield Verdict(WARNING, f"{which} full: nothing is lost, receivers wait, and the broker keeps the messages.")
    if status.writers is not None and not status.writers:
        yield Verdict(WARNING, f"No writer is running: {_kept(status)}.")
    filling = [seconds for _, trend, seconds in trends if trend == "filling" and seconds is not None]
    if filling:
        yield Verdict(WARNING, f"More messages arrive than are stored: a stream is full in {duration(min(filling))}.")
    draining = [seconds for _, trend, seconds in trends if trend == "draining" and seconds is not None]
    if draining:
        yield Verdict(WARNING, f"The backlog of {_backlog(status)} shrinks: empty in {duration(max(draining))}.")
    if any(trend == "steady" for _, trend, _ in trends):
        yield Verdict(WARNING, f"The backlog of {_backlog(status)} does not shrink.")


def _mappings(status: Status) -> Iterator[Verdict]:
    failed = failed_reloads(status.receivers, status.writers)
    if failed:
        processes = printable(failed[0][0]) if len(failed) == 1 else f"{len(failed)} processes"
        yield Verdict(WARNING, f"The last reload of the mappings failed: {processes} continued with the previous ones.")
    elif len(groups(status.receivers, status.writers)) > 1:
        yield Verdict(WARNING, "Receivers and writers run with different mappings: some messages may be rejected.")


def _well(status: Status) -> str:
    rate = round(sum(status.rate(shard, "settled") for shard in status.shards))
    if not rate:
        return "No problems; no messages arrive."
    return f"No problems: {number(rate, 'message')}/s {'is' if rate == 1 else 'are'} stored as they arrive."


def _kept(status: Status) -> str:
    """Where messages are that no writer stores."""
    if any(shard.in_stream >= status.cap for shard in status.shards):
        return "nothing is lost, a stream is full, and the broker keeps the messages"
    growing = [(shard, growth) for shard in status.shards if (growth := status.growth(shard)) > 0]
    if growing:
        room = min((status.cap - shard.in_stream) / growth for shard, growth in growing)
        return f"nothing is lost, the backlog grows, a stream is full in {duration(room)}"
    if any(shard.in_stream for shard in status.shards):
        return f"nothing is lost, {_backlog(status)} {'waits' if _count(status) == 1 else 'wait'} in the streams"
    return "nothing is lost"


def _count(status: Status) -> int:
    return sum(shard.in_stream for shard in status.shards)


def _backlog(status: Status) -> str:
    count = _count(status)
    return "1 entry" if count == 1 else f"{count} entries"


def _state(status: Status, name: str) -> State | None:
    return next((each.state for each in status.dependencies if each.name == name), None)


def _is_bad(status: Status, name: str) -> bool:
    return any(each.name == name and each.is_bad for each in status.dependencies)


def _down(status: Status, name: str) -> str:
    """How a dependency fails, and since when, as far as that is known."""
    match _state(status, name):
        case State.REFUSED:
            return _REFUSED.get(name, "rejects the connection") + _since(status, name)
        case State.WRONG:
            return "answers, but can't be used" + _since(status, name)
    seconds = status.outage_s(name)
    return f"has been unreachable for {duration(seconds)}" if seconds else "is unreachable"


def _since(status: Status, name: str) -> str:
    seconds = status.outage_s(name)
    return f" (for {duration(seconds)})" if seconds else ""


def _waiting(status: Status, component: str) -> Sequence[str]:
    """The processes that can't use it, by name."""
    return sorted({name for name, wait in status.waits if wait.component == component})


def _of(some: Sequence[str], all_: int, noun: str) -> str:
    """`The writer`, or `2 of 3 writers`."""
    return f"The {noun}" if all_ == 1 else f"{len(some)} of {number(all_, noun)}"


def _are(count: int, noun: str, of_what: str = "") -> str:
    return f"{number(count, noun)}{of_what} {'is' if count == 1 else 'are'}"
