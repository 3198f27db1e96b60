"""ACKs merged, dead letters readable, read sizes bounded, delays jittered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from traksense_ingest.shared.runtime.retry import Backoff
from traksense_ingest.shared.streams.keys import shard_of
from traksense_ingest.writer.decode.decode import reject
from traksense_ingest.writer.entry import Entry, parse_entry
from traksense_ingest.writer.outcome import AckRow, CommandRow
from traksense_ingest.writer.read.source import BATCH_BYTES, ReadSize
from traksense_ingest.writer.store.acks import merge_acks
from traksense_ingest.writer.store.commands import first_sendings
from traksense_ingest.writer.store.dead_letter import dead_letter_row

START = datetime(2025, 10, 7, tzinfo=UTC)


def ack(cmd: str, minute: int | None, at: int, ok: bool = True) -> AckRow:
    ts_exec = None if minute is None else START + timedelta(minutes=minute)
    return AckRow("t", "d", cmd, ok, ts_exec, None, "{}", START + timedelta(seconds=at))


def test_the_newest_ts_exec_wins_and_every_repetition_counts() -> None:
    (row,) = merge_acks([ack("c", 5, 3), ack("c", 9, 1, ok=False), ack("c", None, 7)])
    assert (row.ok, row.ts_exec) == (False, START + timedelta(minutes=9))
    assert (row.first_at, row.last_at) == (START + timedelta(seconds=1), START + timedelta(seconds=7))


def test_of_equal_ts_exec_the_later_one_wins() -> None:
    (row,) = merge_acks([ack("c", 5, 3, ok=False), ack("c", 5, 1)])
    assert row.ok is False


def test_rows_are_sorted_by_key() -> None:
    assert [row.cmd_id for row in merge_acks([ack("b", 1, 1), ack("a", 1, 1), ack("b", 2, 2)])] == ["a", "b"]


def sending(cmd: str, at: int) -> CommandRow:
    return CommandRow("t", "d", cmd, START, f"sent at {at}", "{}", START + timedelta(seconds=at))


def test_of_each_command_the_first_sending_counts_and_they_are_sorted() -> None:
    rows = first_sendings([sending("b", 3), sending("a", 5), sending("b", 1), sending("b", 2)])
    assert rows == [sending("a", 5), sending("b", 1)]


def rejected(topic: bytes | None, payload: bytes | None) -> Any:
    fields = {b"topic": topic, b"payload": payload}
    flat = [part for name, value in fields.items() if value is not None for part in (name, value)]
    return dead_letter_row(reject(parse_entry("s", b"1-0", flat), "parse_error", "parse_error: a\0b"))


@pytest.mark.parametrize(
    ("payload", "text", "raw"),
    [
        (b"plain", "plain", None),
        ("ação".encode(), "ação", None),
        (b"", "", None),
        (None, "", None),
        (b"a\0b", "a\ufffdb", b"a\0b"),
        (b"\xff", "\ufffd", b"\xff"),
        ("\ufffd".encode(), "\ufffd", None),
    ],
)
def test_a_payload_is_text_for_reading_and_bytes_where_text_cannot_hold_it(
    payload: bytes | None, text: str, raw: bytes | None
) -> None:
    row = rejected(b"traksense/t/s/d/telem", payload)
    assert (row.payload, row.payload_raw) == (text, raw)


def test_every_text_of_a_dead_letter_can_be_stored() -> None:
    row = rejected(b"traksense/t/\xff\0", b"p")
    assert row.topic == r"traksense/t/\xff\x00"
    assert row.reason == "parse_error: a\ufffdb"


def entries(count: int, size: int) -> list[Entry]:
    return [parse_entry("s", b"1-0", [b"payload", b"x" * size])] * count


def test_the_read_size_grows_to_the_batch_size_while_payloads_are_small() -> None:
    size = ReadSize(800)
    counts = [size.count]
    for _ in range(7):
        size.observe(entries(10, 600))
        counts.append(size.count)
    assert counts == [16, 32, 64, 128, 256, 512, 800, 800]


def test_the_read_size_halves_when_a_read_fails() -> None:
    size = ReadSize(800)
    for expected in (8, 4, 2, 1, 1):
        size.shrink()
        assert size.count == expected


def test_the_read_size_grows_in_small_steps_beyond_what_the_database_was_too_slow_for() -> None:
    size = ReadSize(800)
    for _ in range(6):
        size.observe(entries(10, 600))
    size.shrink_to(400)
    size.shrink_to(200)
    assert size.count == 200
    size.observe(entries(200, 600))
    assert size.count == 212
    size.shrink()
    size.observe(entries(106, 600))
    assert size.count == 200, "it was not too much"
    for _ in range(40):
        size.observe(entries(10, 600))
    assert size.count == 800
    size.shrink_to(1)
    size.observe(entries(1, 600))
    assert size.count == 2


def test_the_read_size_shrinks_at_once_when_payloads_are_large() -> None:
    size = ReadSize(800)
    size.observe(entries(100, 1_000_000))
    assert size.count == BATCH_BYTES // 1_000_000
    size.observe(entries(1, BATCH_BYTES * 2))
    assert size.count == 1
    size.observe([])
    assert size.count == 1


def test_delays_double_up_to_the_cap_and_are_jittered() -> None:
    backoff = Backoff(0.1, 1.0)
    delays = [backoff.delay() for _ in range(6)]
    for delay, ceiling in zip(delays, (0.1, 0.2, 0.4, 0.8, 1.0, 1.0), strict=True):
        assert ceiling / 2 <= delay <= ceiling
    assert len(set(delays)) == 6
    backoff.reset()
    assert backoff.delay() <= 0.1


def test_a_device_keeps_its_shard_wherever_it_stands() -> None:
    shards = {shard_of(f"traksense/t/{site}/d/{kind}".encode(), 16) for site in "ab" for kind in ("telem", "ack")}
    assert len(shards) == 1
    assert {shard_of(f"traksense/t/s/d{number}/telem".encode(), 4) for number in range(100)} == {0, 1, 2, 3}
    assert shard_of(b"\xff", 8) in range(8)
    assert shard_of(b"traksense/t/s/d/telem", 7) == 4, "it must not change between versions"
