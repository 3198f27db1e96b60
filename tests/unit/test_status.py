"""What `status` makes of its figures: forecasts, exit codes, JSON, and a screen for each width."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from rich.console import Console

from ops.status.forecast import Forecast, forecast
from ops.status.part import Part, State
from ops.status.report import Status
from ops.status.screen import screen
from ops.status.show import plain
from shared.presence import Receiver
from shared.shard import Consumer, Shard

UP = (
    Part("broker", "mqtt://localhost:1883"),
    Part("redis", "redis://localhost:6379/0"),
    Part("database", "postgresql://traksense:***@localhost:5432/traksense"),
)
CALM = Shard(
    stream="ingest:{0}",
    added=1_234_900,
    stored=1_234_570,
    dead_lettered=27,
    duplicates=12,
    in_stream=303,
    oldest_s=0.42,
    consumers=(Consumer("edge-writer-4711-9f3c2a-0", 303, 12), Consumer("edge-writer-4711-9f3c2a-1", 0, 480)),
)
BEHIND = replace(
    CALM,
    stream="ingest:{1}",
    added=45_100,
    stored=100,
    dead_lettered=0,
    duplicates=1,
    in_stream=45_000,
    oldest_s=95,
    consumers=(Consumer("edge-writer-4711-9f3c2a-0", 800, 65_000),),
)
RECEIVERS = (
    Receiver(client_id="receiver-0", process="edge-1", broker=True, appended=9, appended_per_s=1490, silent_s=0.7),
    Receiver(client_id="receiver-1", process="edge-2", broker=True, waiting=True, silent_s=1.9),
    Receiver(client_id="receiver-2", process="edge-3", broker=False, silent_s=2.0),
    Receiver(client_id="receiver-3", process="edge-4", broker=True, appended_per_s=99, silent_s=300),
)
STATUS = Status(
    before=[replace(CALM, added=1_233_400, stored=1_233_100), replace(BEHIND, added=44_900, in_stream=44_800)],
    now=[CALM, BEHIND],
    seconds=1.0,
    cap=50_000,
    lost={"ingest:{0}": 0, "ingest:{1}": 0},
    parts=UP,
    receivers=RECEIVERS,
    at=datetime(2026, 11, 24, tzinfo=UTC),
)

SCREEN = """\
broker    up       mqtt://localhost:1883
redis     up       redis://localhost:6379/0
database  up       postgresql://traksense:***@localhost:5432/traksense

receiver    broker  in/s       heard
receiver-0      up  1490  700 ms ago
receiver-1      up     0     2 s ago  waits for room
receiver-2    away     0     2 s ago
receiver-3       ?     ?   300 s ago  silent

consumer                       stream  pending  silent for
edge-writer-4711-9f3c2a-0  ingest:{0}      303       12 ms
edge-writer-4711-9f3c2a-1  ingest:{0}        0      480 ms
edge-writer-4711-9f3c2a-0  ingest:{1}      800        65 s

stream      backlog  cap  oldest  in/s  out/s
ingest:{0}      303   1%  420 ms  1500   1470  keeps up
ingest:{1}    45000  90%    95 s   200      0  full in 25 s

ingest:{0}: 1234900 added = 1234570 stored + 27 dead-lettered + 303 here (12 duplicates)
ingest:{1}: 45100 added = 100 stored + 0 dead-lettered + 45000 here (1 duplicate)"""


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
    assert "edge-writer-4711-9f3c2a-0 ingest:{1}     800       65 s" in lines


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
    lanes = tuple(Consumer(f"edge-writer-7-{lane}", lane, 1000 * lane) for lane in range(20))
    shown = rendered(replace(STATUS, now=[replace(CALM, consumers=lanes)]), 80, lines)
    by_writer = "edge-writer-7     20      190        19 s"
    assert (by_writer in shown) is (lines < 60)
    assert ("edge-writer-7-19  ingest:{0}       19        19 s" in shown) is (lines == 60)
    assert plain(replace(STATUS, now=[replace(CALM, consumers=lanes)])).count("edge-writer-7-") == 20


@pytest.mark.parametrize(("width", "fits"), [(55, True), (54, False), (40, False)])
def test_pending_by_writer_where_a_consumer_would_take_two_lines(width: int, fits: bool) -> None:
    lines = rendered(STATUS, width)
    assert any(line.startswith("edge-writer-4711-9f3c2a-1 ingest:{0}") for line in lines) is fits
    assert ("consumer" in " ".join(lines), "writer" in " ".join(lines).split()) == (fits, not fits)


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
    away = replace(STATUS, parts=(Part("broker", "mqtt://broker", State.AWAY, error), *UP[1:]))
    text = plain(away)
    assert "\x1b" not in text
    assert f"broker    away     mqtt://broker: {error}" in text.splitlines()


def test_what_is_down_is_red() -> None:
    away = replace(STATUS, parts=(Part("broker", "mqtt://broker", State.AWAY, "refused"), *UP[1:]))
    assert "\x1b[31mbroker    away     mqtt://broker: refused\x1b[0m" in rendered(away, 80, terminal=True)
    assert not any("\x1b[31m" in line for line in rendered(replace(STATUS, receivers=()), 80, terminal=True)[:3])


def test_without_redis_the_rest_is_shown() -> None:
    away = Part("redis", "redis://r", State.AWAY, "no answer within 1 s")
    status = Status((), None, 0.0, 50_000, parts=(UP[0], away, UP[2]))
    lines = rendered(status, 80)
    assert lines[1] == "redis     away     redis://r: no answer within 1 s"
    assert lines[-1] == "streams, receivers and writers: not known without Redis"
    report = json.loads(status.as_json())
    assert (report["ok"], report["agrees"], report["shards"], report["receivers"]) == (False, None, [], None)
    assert report["parts"]["redis"] == {"state": "away", "address": "redis://r", "error": "no answer within 1 s"}


def test_names_of_other_hands_neither_colour_nor_move_the_screen() -> None:
    consumer = Consumer("[red]name[/red]\x1b[2J", 1, 1)
    receiver = Receiver(client_id="[bold]\r\x07")
    text = plain(replace(STATUS, now=[replace(CALM, consumers=(consumer,))], receivers=[receiver], before=[]))
    assert "[red]name[/red]\\x1b[2J" in text
    assert "[bold]\\r\\x07" in text


def parts(*states: State) -> Sequence[Part]:
    return [Part(name, "", state) for name, state in zip(("broker", "redis", "database"), states, strict=True)]


@pytest.mark.parametrize(
    ("states", "missing", "lost", "code"),
    [
        ((State.UP, State.UP, State.UP), 0, 0, 0),
        ((State.SKIPPED, State.UP, State.SKIPPED), 0, 0, 0),
        ((State.AWAY, State.UP, State.UP), 0, 0, 1),
        ((State.UP, State.UP, State.AWAY), 0, 0, 1),
        ((State.UP, State.UP, State.WRONG), 0, 0, 1),
        ((State.UP, State.UP, State.UP), 1, 0, 1),
        ((State.UP, State.UP, State.UP), 0, 1, 1),
        ((State.REFUSED, State.UP, State.UP), 0, 0, 2),
        ((State.AWAY, State.UP, State.REFUSED), 1, 0, 2),
    ],
)
def test_the_exit_code(states: tuple[State, ...], missing: int, lost: int, code: int) -> None:
    shard = Shard(stream="ingest:{0}", added=missing)
    status = Status([shard], [shard], 1.0, 10, {"ingest:{0}": lost}, parts(*states))
    assert status.exit_code == code
    assert json.loads(status.as_json())["ok"] is (code == 0)


def test_the_exit_code_without_redis() -> None:
    assert Status((), None, 0.0, 10, parts=parts(State.UP, State.AWAY, State.UP)).exit_code == 1


@pytest.mark.parametrize(
    ("backlog", "in_rate", "growth", "expected"),
    [
        (0, 0, 0, Forecast("keeping_up")),
        (8, 2, 4, Forecast("keeping_up")),  # what a batch holds
        (300, 1500, 30, Forecast("keeping_up")),
        (500, 100, 100, Forecast("filling", 5)),
        (500, 0, -50, Forecast("draining", 10)),
        (500, 1000, 500, Forecast("keeping_up")),
        (500, 100, 1, Forecast("steady")),
        (500, 0, 0, Forecast("steady")),
        (1000, 0, 0, Forecast("full")),
        (1000, 100, -100, Forecast("full", 10)),
        (1200, 100, 5, Forecast("full")),
    ],
)
def test_forecasts(backlog: int, in_rate: float, growth: float, expected: Forecast) -> None:
    assert forecast(backlog, 1000, in_rate, growth) == expected


def test_rates_and_forecasts_in_json() -> None:
    calm, behind = json.loads(STATUS.as_json())["shards"]
    assert (calm["added_per_s"], calm["settled_per_s"], calm["trend"]) == (1500, 1470, "keeping_up")
    assert (behind["trend"], behind["until_full_s"], behind["until_empty_s"]) == ("filling", 25, None)
    assert {"stream", "added", "stored", "in_stream", "pending", "missing", "lost", "consumers"} <= calm.keys()


def test_a_stream_that_was_begun_anew_meanwhile_has_no_negative_rate() -> None:
    status = Status([CALM], [replace(CALM, added=3, stored=0, in_stream=3)], 1.0, 10)
    assert (status.rate(status.shards[0], "added"), status.rate(status.shards[0], "settled")) == (0, 0)
