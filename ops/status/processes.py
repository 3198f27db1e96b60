"""The processes on the screen: receivers, those that are gone, writers, and the writers' consumers.

Each consumer has a line if the screen has room for them and the streams are few, else each writer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from traksense_ingest.ops.status.streams import COLOURS, are_folded
from traksense_ingest.ops.status.verdict import BAD, GOOD, WARNING
from traksense_ingest.ops.terminal import duration, latency, printable, rate, safe_name, table, table_with_notes
from traksense_ingest.shared.streams.heartbeat import NAMES_MAX, Receiver, Wait, Writer
from traksense_ingest.shared.streams.snapshot import ConsumerInfo, StreamSnapshot

# A lane reads every second or, while it stores a batch, renews its lease every quarter of INGEST_CLAIM_IDLE_MS. After
# that time, 30 s by default, other writers claim its entries.
IDLE_MAX_S = 30.0

# Lines, also where nothing limits them, as in a pipe. Making one takes about a millisecond.
GONE_RECEIVERS_MAX = 8  # --json has all of them
WAITS_MAX = 8  # as above
GONE_CONSUMERS_MAX = 10  # a writer that crashes and is started again leaves two a stream each time
CONSUMERS_MAX = 500
WRITERS_MAX = 20

MEASURE = Console(width=10_000)  # to see how wide a table would be


def count_running(receivers: Sequence[Receiver] | None) -> int:
    """Receivers that are not gone."""
    return sum(not receiver.is_gone for receiver in receivers or ())


def running_receivers(receivers: Sequence[Receiver] | None, width: int) -> RenderableType:
    """A line for each receiver that is not gone."""
    if receivers is None:
        unreadable = "receivers: can't be read: another type of key, or not allowed to this user of Redis"
        return Text(unreadable, style="yellow")
    if not count_running(receivers):
        return Text("no receiver is running", style="yellow")
    made = table_with_notes(width, "receiver", "broker", "in/s", "heartbeat")
    for receiver in receivers:
        if not receiver.is_gone:
            made.add_row(*_receiver(receiver), style=COLOURS[level_of_receiver(receiver)])
    return made


def running_writers(writers: Sequence[Writer] | None, width: int) -> Sequence[RenderableType]:
    """A line for each; with more than WRITERS_MAX for those that store most, and one for the others."""
    if writers is None:
        return [
            Text("writers: can't be read: another type of key, or not allowed to this user of Redis", style="yellow")
        ]
    if not writers:
        return [Text("no writer is running", style="yellow")]
    by_rate = sorted(writers, key=lambda each: -(each.rows_per_s or 0.0))
    most, others = by_rate[:WRITERS_MAX], by_rate[WRITERS_MAX:]
    made = table(width, "writer", "rows/s", "p50", "p99", "heartbeat")
    for writer in sorted(most, key=lambda each: each.name):
        made.add_row(*_writer(writer), style=COLOURS[level_of_writer(writer)])
    rows_per_s = rate(sum(each.rows_per_s or 0.0 for each in others))
    return [made, Text(f"… and {len(others)} more writers, with {rows_per_s} rows/s")] if others else [made]


def gone_receivers(receivers: Sequence[Receiver] | None) -> Iterator[Text]:
    """A line for each, the latest first, and what to do: their sessions at the broker may hold messages that no other
    receiver gets."""
    gone = sorted((each for each in receivers or () if each.is_gone), key=lambda each: each.idle_s)
    for receiver in gone[:GONE_RECEIVERS_MAX]:
        line = f"{printable(receiver.client_id)} gone for {duration(receiver.idle_s)}, its session may hold messages"
        yield Text(line, style="red")
    if len(gone) > GONE_RECEIVERS_MAX:
        kept = f" (no more than {NAMES_MAX} names are kept)" if len(gone) >= NAMES_MAX - 1 else ""
        yield Text(f"and {len(gone) - GONE_RECEIVERS_MAX} other receivers are gone{kept}", style="red")
    if gone:
        yield Text("start it again; gone for good: traksense-ingest receiver --leave, or status --dismiss NAME")


def wait_lines(found: Sequence[tuple[str, Wait]]) -> Iterator[Text]:
    """A line for each process and what it can't use; and what that means where a receiver waits for Redis."""
    for name, wait in found[:WAITS_MAX]:
        line = f"{printable(name)} can't use {printable(wait.component)} ({duration(wait.seconds)}): "
        yield Text(line + printable(wait.reason), style="red")
    if len(found) > WAITS_MAX:
        yield Text(f"and {len(found) - WAITS_MAX} more", style="red")
    if any(name.startswith("receiver ") and wait.component == "redis" for name, wait in found):
        yield Text("what a receiver can't store in Redis is not acknowledged: it waits at the broker")


def consumers(shards: Sequence[StreamSnapshot], width: int, lines: int) -> Sequence[RenderableType]:
    """At most `lines` lines, none of them wrapped, if possible; a line for each writer if the streams are folded. Empty
    where no writer reads."""
    known = [(shard, consumer) for shard in shards for consumer in shard.consumers]
    if not known:
        return []
    gone = [consumer for _, consumer in known if _is_gone(consumer)]
    if len(gone) <= GONE_CONSUMERS_MAX:
        return [_table(known, width, 0 if are_folded(shards) else lines)]
    running = [(shard, consumer) for shard, consumer in known if not _is_gone(consumer)]
    summary = _summary(gone)
    left = 0 if are_folded(shards) else lines - len(summary) // width - 1
    return [_table(running, width, left), summary] if running else [summary]


def _receiver(receiver: Receiver) -> Sequence[RenderableType]:
    figures = broker_of(receiver), rate(receiver.appended_per_s), f"{duration(receiver.idle_s)} ago"
    return safe_name(receiver.client_id), *figures, receiver_note(receiver)


def count_writers(writers: Sequence[Writer] | None) -> int:
    """How many lines they take, without the heading."""
    return min(len(writers or ()), WRITERS_MAX + 1)


def _writer(writer: Writer) -> Sequence[RenderableType]:
    figures = rate(writer.rows_per_s), latency(writer.p50_s), latency(writer.p99_s)
    return safe_name(writer.name), *figures, f"{duration(writer.idle_s)} ago"


def level_of_receiver(receiver: Receiver) -> str:
    """`bad` if it can't use something, `warning` if it waits for room, or has not connected to the broker yet."""
    return BAD if receiver.waits else WARNING if receiver.waiting or not receiver.broker else GOOD


def level_of_writer(writer: Writer) -> str:
    """`bad` if it can't use something, `warning` if it goes on with earlier mappings."""
    return BAD if writer.waits else WARNING if writer.reload_error else GOOD


def broker_of(receiver: Receiver) -> str:
    """A receiver that waits for Redis at its start has not tried to connect yet."""
    is_tried = not receiver.waits or any(wait.component == "broker" for wait in receiver.waits)
    return "up" if receiver.broker else "unreachable" if is_tried else "–"


def receiver_note(receiver: Receiver) -> str:
    """What it waits for, in a word or two."""
    if any(wait.component == "redis" for wait in receiver.waits):
        return "waits for Redis"
    return "waits for room" if receiver.waiting else ""


def _table(known: Sequence[tuple[StreamSnapshot, ConsumerInfo]], width: int, lines: int) -> RenderableType:
    if len(known) < min(lines, CONSUMERS_MAX):
        each = _each(known, width)
        if Measurement.get(MEASURE, MEASURE.options, each).maximum <= width:
            return each
    return _by_writer(known, width)


def _summary(gone: Sequence[ConsumerInfo]) -> Text:
    idle = sorted(map(_idle_s, gone))
    text = (
        f"{len(gone)} consumers of writers that are gone, idle for {duration(idle[0])} to {duration(idle[-1])}: "
        f"{_pending(gone)} pending"
    )
    return Text(text, style="red" if _pending(gone) else "yellow")


def _each(known: Sequence[tuple[StreamSnapshot, ConsumerInfo]], width: int) -> Table:
    made = table(width, "consumer", "stream", "pending", "idle")
    for shard, consumer in known:
        figures = shard.stream, str(consumer.pending), duration(_idle_s(consumer))
        made.add_row(safe_name(consumer.name), *figures, style=_colour(consumer))
    return made


def _by_writer(known: Sequence[tuple[StreamSnapshot, ConsumerInfo]], width: int) -> RenderableType:
    writers = [*_lanes(known)]
    if len(writers) <= WRITERS_MAX:
        return _writers(writers, width)
    writers.sort(key=lambda writer: -_pending(writer[1]))  # those that hold most
    others = [lane for _, lanes in writers[WRITERS_MAX:] for lane in lanes]
    rest = f"… and {len(writers) - WRITERS_MAX} more writers, with {_pending(others)} pending"
    return Group(_writers(writers[:WRITERS_MAX], width), Text(rest))


def _writers(writers: Sequence[tuple[str, Sequence[ConsumerInfo]]], width: int) -> Table:
    made = table(width, "writer", "lanes", "pending", "idle")
    for writer, lanes in writers:
        last = max(lanes, key=_idle_s)
        figures = str(len(lanes)), str(_pending(lanes)), duration(_idle_s(last))
        made.add_row(safe_name(writer), *figures, style=_colour(last))
    return made


def _lanes(known: Sequence[tuple[StreamSnapshot, ConsumerInfo]]) -> Iterator[tuple[str, list[ConsumerInfo]]]:
    found: dict[str, list[ConsumerInfo]] = {}
    for _, consumer in known:
        found.setdefault(re.sub(r"-\d+$", "", consumer.name), []).append(consumer)
    yield from found.items()


def pending_by_writer(shards: Sequence[StreamSnapshot]) -> dict[str, int]:
    """Entries that are delivered and not settled, by the name of the writer."""
    known = [(shard, consumer) for shard in shards for consumer in shard.consumers]
    return {writer: _pending(lanes) for writer, lanes in _lanes(known)}


def _pending(consumers: Sequence[ConsumerInfo]) -> int:
    return sum(consumer.pending for consumer in consumers)


def _idle_s(consumer: ConsumerInfo) -> float:
    return consumer.idle_ms / 1000


def _is_gone(consumer: ConsumerInfo) -> bool:
    return _idle_s(consumer) > IDLE_MAX_S


def _colour(consumer: ConsumerInfo) -> str:
    return "red" if _is_gone(consumer) else ""
