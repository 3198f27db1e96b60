"""The screen of `status`: what is shown on each width and height, and in a pipe."""

from __future__ import annotations

import io
import itertools
import json
import re
from dataclasses import replace

import pytest
from rich.console import Console

from tests.support.statuses import BEHIND, CALM, STATUS, UP
from traksense_ingest.ops.status.dependency import Dependency, State
from traksense_ingest.ops.status.report import Status
from traksense_ingest.ops.status.screen import plain, screen
from traksense_ingest.shared.streams.heartbeat import Receiver, Wait, Writer
from traksense_ingest.shared.streams.snapshot import ConsumerInfo

SCREEN = """\
1 receiver is gone: its session at the broker may hold messages.

broker    up          mqtt://localhost:1883
redis     up          redis://localhost:6379/0
database  up          postgresql://traksense:***@localhost:5432/traksense

receiver         broker  in/s   heartbeat
receiver-0           up  1490  700 ms ago
receiver-1           up     0     2 s ago  waits for room
receiver-2  unreachable     0     2 s ago
receiver-3 gone for 300 s, its session may hold messages
start it again; gone for good: traksense-ingest receiver --leave, or status --dismiss NAME

writer                   rows/s    p50    p99  heartbeat
edge-writer-4711-9f3c2a   14700  24 ms  1.3 s    1 s ago

consumer                       stream  pending    idle
edge-writer-4711-9f3c2a-0  ingest:{0}      303   12 ms
edge-writer-4711-9f3c2a-1  ingest:{0}        0  480 ms
edge-writer-4711-9f3c2a-0  ingest:{1}      800    65 s

stream      backlog  cap  oldest  in/s  out/s
ingest:{0}      303   1%  420 ms  1500   1470  keeps up
ingest:{1}    45000  90%    95 s   200      0  full in 25 s

ingest:{0}: 1234900 added = 1234570 stored + 27 dead-lettered + 303 here (12 duplicate rows)
ingest:{1}: 45100 added = 100 stored + 0 dead-lettered + 45000 here (1 duplicate row)"""


def rendered(status: Status, width: int, height: int = 50, *, terminal: bool = False) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=terminal, highlight=False)
    console.print(screen(status, width, height))
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_the_screen() -> None:
    assert "\n".join(rendered(STATUS, 120)) == SCREEN
    assert plain(STATUS) == SCREEN


@pytest.mark.parametrize("width", [60, 80])
def test_it_fits_and_says_the_same(width: int) -> None:
    lines = rendered(STATUS, width)
    assert max(map(len, lines)) <= width
    words = " ".join(lines).split()
    assert words == SCREEN.split()


def test_tables_keep_their_rows_at_60_columns() -> None:
    lines = rendered(STATUS, 60)
    assert "ingest:{1}   45000 90%   95 s  200     0 full in 25 s" in lines
    assert "edge-writer-4711-9f3c2a-0 ingest:{1}     800   65 s" in lines


@pytest.mark.parametrize(
    ("width", "flow"),
    [
        (52, ["stream     backlog cap oldest in/s", "ingest:{1}   45000 90%   95 s  200 full in 25 s"]),
        (50, ["stream     backlog cap oldest in/s", "ingest:{1}   45000 90%   95 s  200 full in 25 s"]),
        (45, ["stream     backlog cap oldest", "ingest:{1}   45000 90%   95 s full in 25 s"]),
        (40, ["stream     backlog oldest", "ingest:{1}   45000   95 s full in 25 s"]),
    ],
)
def test_a_narrow_terminal_has_each_stream_in_one_line(width: int, flow: list[str]) -> None:
    lines = rendered(STATUS, width)
    assert max(map(len, lines)) <= width
    assert [line for line in lines if line in flow] == flow
    assert not [line for line in lines if line.count("{") != line.count("}")], "the name of a stream in two lines"


@pytest.mark.parametrize("lines", [5, 24, 60])
def test_pending_by_consumer_where_it_fits_on_the_screen(lines: int) -> None:
    lanes = tuple(ConsumerInfo(f"edge-writer-7-{lane}", lane, 1000 * lane) for lane in range(20))
    shown = rendered(replace(STATUS, now=[replace(CALM, consumers=lanes)]), 80, lines)
    by_writer = "edge-writer-7     20      190  19 s"
    assert (by_writer in shown) is (lines < 60)
    assert ("edge-writer-7-19  ingest:{0}       19  19 s" in shown) is (lines == 60)
    assert plain(replace(STATUS, now=[replace(CALM, consumers=lanes)])).count("edge-writer-7-") == 20


@pytest.mark.parametrize("terminal", [True, False])
def test_consumers_of_many_writers_that_are_gone_are_one_line(terminal: bool) -> None:
    gone = tuple(ConsumerInfo(f"edge-writer-{n}-0", n == 7, 40_000 + 1000 * n) for n in range(3285))
    status = replace(STATUS, now=[replace(CALM, consumers=(*gone, *CALM.consumers)), BEHIND])
    shown = rendered(status, 120) if terminal else plain(status).splitlines()
    assert "3286 consumers of writers that are gone, idle for 40 s to 55 min: 801 pending" in shown
    assert "edge-writer-4711-9f3c2a-0  ingest:{0}      303   12 ms" in shown
    assert len(shown) == SCREEN.count("\n") + 1
    assert json.loads(status.as_json())["shards"][0]["consumers"][3284]["name"] == "edge-writer-3284-0"


def test_a_pipe_gets_each_writer_where_there_are_too_many_lanes() -> None:
    lanes = tuple(ConsumerInfo(f"edge-writer-{writer}-{lane}", 1, 10) for writer in range(3) for lane in range(1000))
    shown = plain(replace(STATUS, now=[replace(CALM, consumers=lanes)]))
    assert "edge-writer-2   1000     1000  10 ms" in shown
    assert len(shown.splitlines()) < 30


def test_of_too_many_writers_those_who_hold_most() -> None:
    writers = tuple(ConsumerInfo(f"edge-writer-{writer}-0", writer, 10) for writer in range(3000))
    shown = plain(replace(STATUS, now=[replace(CALM, consumers=writers)])).splitlines()
    assert "edge-writer-2999      1     2999  10 ms" in shown
    assert f"… and 2980 more writers, with {sum(range(2980))} pending" in shown
    assert len(shown) < 50


@pytest.mark.parametrize(("width", "fits"), [(51, True), (50, False), (40, False)])
def test_pending_by_writer_where_a_consumer_would_take_two_lines(width: int, fits: bool) -> None:
    lines = rendered(STATUS, width)
    assert any(line.startswith("edge-writer-4711-9f3c2a-1 ingest:{0}") for line in lines) is fits
    assert ("consumer" in " ".join(lines), "lanes" in " ".join(lines).split()) == (fits, not fits)


@pytest.mark.parametrize("width", [60, 80])
def test_no_table_is_longer_for_it_than_the_screen(width: int) -> None:
    lines = rendered(STATUS, width)
    assert rendered(STATUS, width, len(lines) + 1) == lines, "the last line is for the prompt"
    shorter = rendered(STATUS, width, len(lines))
    assert (len(shorter), "edge-writer-4711-9f3c2a-0" in " ".join(shorter)) == (len(lines) - 2, False)


def test_a_pipe_gets_no_escape_codes_and_no_line_in_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("FORCE_COLOR", "1")
    error = f"{'no such host ' * 20}; start it"
    down = replace(STATUS, dependencies=(Dependency("broker", "mqtt://broker", State.UNREACHABLE, error), *UP[1:]))
    text = plain(down)
    assert "\x1b" not in text
    assert f"broker    unreachable mqtt://broker: {error}" in text.splitlines()


def test_what_is_down_is_red() -> None:
    down = replace(STATUS, dependencies=(Dependency("broker", "mqtt://broker", State.UNREACHABLE, "refused"), *UP[1:]))
    assert "\x1b[31mbroker    unreachable mqtt://broker: refused\x1b[0m" in rendered(down, 80, terminal=True)
    assert not any("\x1b[31m" in line for line in rendered(replace(STATUS, receivers=()), 80, terminal=True)[:5])


def test_without_redis_the_rest_is_shown() -> None:
    down = Dependency("redis", "redis://r", State.UNREACHABLE, "no answer within 1 s")
    status = Status((), None, 0.0, 50_000, dependencies=(UP[0], down, UP[2]))
    lines = rendered(status, 80)
    assert lines[0].startswith("Redis is unreachable: ")
    assert lines[4] == "redis     unreachable redis://r: no answer within 1 s"
    assert lines[-1] == "streams, receivers and writers: not known without Redis"
    report = json.loads(status.as_json())
    assert (report["ok"], report["balanced"], report["shards"], report["receivers"]) == (False, None, [], None)
    assert report["dependencies"]["redis"] == {
        "state": "unreachable",
        "address": "redis://r",
        "error": "no answer within 1 s",
    }


def test_names_of_other_clients_neither_colour_nor_move_the_screen() -> None:
    consumer = ConsumerInfo("[red]name[/red]\x1b[2J", 1, 1)
    receiver = Receiver(client_id="[bold]\r\x07")
    text = plain(replace(STATUS, now=[replace(CALM, consumers=(consumer,))], receivers=[receiver], before=[]))
    assert "[red]name[/red]\\x1b[2J" in text
    assert "[bold]\\r\\x07" in text


def test_who_waits_for_what_and_since_when() -> None:
    of_redis = (Wait("redis", "ingest:{0} on n1:7001: 0 of 1 replica confirmed the last messages", 95.0),)
    at_start = Receiver(client_id="starting", waits=of_redis)
    working = Receiver(client_id="working", broker=True, waiting=True, waits=of_redis)
    lost = Receiver(client_id="lost", waits=(Wait("broker", "[Errno 111] refused\x1b[2J", 3.0),))
    writer = Writer(name="edge-1", waits=(Wait("database", "the disk is full", 7200.0),))
    status = replace(STATUS, receivers=[at_start, working, lost], writers=[writer])
    lines = rendered(status, 120)
    assert [line.split() for line in lines[7:10]] == [
        ["starting", "–", "0", "0", "ms", "ago", "waits", "for", "Redis"],
        ["working", "up", "0", "0", "ms", "ago", "waits", "for", "Redis"],
        ["lost", "unreachable", "0", "0", "ms", "ago"],
    ]
    waits = "can't use redis (95 s): ingest:{0} on n1:7001: 0 of 1 replica confirmed the last messages"
    assert lines[10:13] == [
        "",
        "writer  rows/s  p50  p99  heartbeat",
        "edge-1       –    –    –   0 ms ago",
    ]
    assert lines[13:19] == [
        "",
        f"receiver starting {waits}",
        f"receiver working {waits}",
        "receiver lost can't use broker (3 s): [Errno 111] refused\\x1b[2J",
        "writer edge-1 can't use database (120 min): the disk is full",
        "what a receiver can't store in Redis is not acknowledged: it waits at the broker",
    ]
    lines = rendered(replace(STATUS, receivers=[replace(working, client_id=str(each)) for each in range(20)]), 120)
    assert len([line for line in lines if "can't use redis (95 s)" in line]) == 8
    assert "and 12 more" in lines


def test_writers_with_what_they_store_and_how_late() -> None:
    of_older_version = Writer(name="b")
    late = Writer(name="a", rows_per_s=0.4, p50_s=95.0, p99_s=7200.0, reload_error="no such file", idle_s=2.0)
    busy = Writer(name="c", rows_per_s=1490.0, p50_s=0.0042, p99_s=0.9, waits=(Wait("database", "full", 1.0),))
    lines = rendered(replace(STATUS, writers=[late, of_older_version, busy]), 80, terminal=True)
    start = next(number for number, line in enumerate(lines) if "rows/s" in line)
    coloured = [
        (line.partition("[3")[2][:1], re.sub(r"\x1b\[\d+m", "", line).split()) for line in lines[start + 1 :][:3]
    ]
    assert coloured == [
        ("3", ["a", "0.4", "95.0", "s", ">", "1", "h", "2", "s", "ago"]),
        ("", ["b", "–", "–", "–", "0", "ms", "ago"]),
        ("1", ["c", "1490", "4", "ms", "900", "ms", "0", "ms", "ago"]),
    ]
    assert json.loads(replace(STATUS, writers=[late]).as_json())["writers"][0]["p99_s"] == 7200.0


def test_without_a_writer_or_its_heartbeat() -> None:
    idle = [replace(CALM, consumers=())]
    lines = rendered(replace(STATUS, writers=(), now=idle), 80)
    assert lines.count("no writer is running") == 1
    assert [line for line, next_ in itertools.pairwise(lines) if not line and not next_] == []
    assert "writers: can't be read: another type of key, or not allowed to this user of Redis" in rendered(
        replace(STATUS, writers=None), 100
    )


def test_of_very_many_writers_those_that_store_most() -> None:
    writers = [Writer(name=f"edge-{number:03}", rows_per_s=number) for number in range(120)]
    lines = rendered(replace(STATUS, writers=writers), 80)
    assert [line.split()[0] for line in lines if line.startswith("edge-1") and line.endswith("ago")] == [
        f"edge-{number}" for number in range(100, 120)
    ]
    assert f"… and 100 more writers, with {sum(range(100))} rows/s" in lines
    assert rendered(replace(STATUS, writers=writers), 80, len(lines) + 1) == lines, "the last line is for the prompt"


def gone(count: int) -> list[Receiver]:
    return [Receiver(client_id=f"edge-{number}", idle_s=100 + number) for number in range(count)]


def test_receivers_that_are_gone_in_their_thousands_are_a_few_lines() -> None:
    for lines in (
        rendered(replace(STATUS, receivers=gone(5000)), 80),
        plain(replace(STATUS, receivers=gone(5000))).splitlines(),
    ):
        assert "no receiver is running" in lines
        shown = [line for line in lines if "its session may hold messages" in line]
        assert shown == [
            f"edge-{number} gone for {100 + number} s, its session may hold messages" for number in range(8)
        ]
        assert "and 4992 other receivers are gone (no more than 1000 names are kept)" in lines
    assert len(json.loads(replace(STATUS, receivers=gone(5000)).as_json())["receivers"]) == 5000
