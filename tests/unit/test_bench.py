"""The figures of the benchmark: statistics, targets, the load that is the same as messages and as rows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from bench.chart import draw
from bench.figure import Figure, Reading, at_least, at_most, figures_of
from bench.flow import Incomplete, require_rows
from bench.lane import Lane
from bench.load import due_now
from bench.process import cpu_seconds, peak_mib
from bench.results import Machine, Results, this_machine
from bench.scenario import Plan
from bench.scenarios import SCENARIOS
from bench.scenarios.growth import conclude
from bench.scenarios.shape import spread
from bench.shape import START, Shape
from bench.table import number, report
from tests.support.decoding import v1_routes
from tests.support.rows import points_in
from traksense_ingest.writer.entry import Entry
from traksense_ingest.writer.outcome import Decoded

RESULTS = Results(
    at=datetime(2026, 1, 2, tzinfo=UTC),
    machine=Machine(2, "A CPU", 4.0, "3.11.7"),
    servers={"broker": "a broker", "database": "a database"},
    plan=Plan(rounds=3, scale=0.5),
    figures=[
        Figure("end-to-end", "ours", "points/s", (150_000.0, 170_000.0, 160_000.0)),
        Figure("end-to-end", "bare COPY", "points/s", (200_000.0, 210_000.0, 190_000.0)),
        Figure("end-to-end", "ours, of bare COPY", "%", (75.0, 81.0, 84.0), at_least(75)),
        Figure("receiver", "MQTT 5, CPU", "µs/message", (20.0, 21.0, 22.0), at_most(20)),
        Figure("latency", "5000 points/s, p50", "ms", (7.0, 8.0, 9.0), at_most(10)),
        Figure("growth", "rows 0, CPU", "µs/point", (5.0,)),
        Figure("growth", "rows 1,000, CPU", "µs/point", (6.0,)),
        Figure("growth", "devices 10, CPU", "µs/point", (5.0,)),
        Figure("growth", "tenants 1, CPU", "µs/point", (5.0,)),
        Figure("growth", "backlog 1, CPU", "µs/point", (5.0,)),
    ],
    impossible={"shape": "no way known"},
)


def test_readings_of_one_name_are_one_figure() -> None:
    readings = [Reading("a", 1, "s"), Reading("b", 5, "s"), Reading("a", 3, "s"), Reading("a", 9, "s")]
    first, second = figures_of("x", readings, {"b": at_most(5)})
    assert (first.name, first.values, first.median, first.is_met) == ("a", (1, 3, 9), 3, None)
    assert (second.median, second.is_met) == (5, True)


@pytest.mark.parametrize(
    ("target", "value", "is_met"),
    [(at_least(75), 75, True), (at_least(75), 74.9, False), (at_most(20), 20, True), (at_most(20), 20.1, False)],
)
def test_a_target_is_met_up_to_its_bound(target: object, value: float, is_met: bool) -> None:
    assert Figure("x", "a", "s", (value,), target).is_met is is_met  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.01234, "0.0123"), (4.567, "4.57"), (99.96, "100"), (999.4, "999"), (162_345.6, "162,000")],
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_the_table_has_each_target_beside_its_figure() -> None:
    out = StringIO()
    Console(file=out, width=110).print(report(RESULTS))
    lines = out.getvalue().splitlines()
    (row,) = [line for line in lines if "of bare COPY" in line]
    assert [cell.strip() for cell in row.split("│")[1:-1]] == [
        "ours, of bare COPY",
        "81",
        "75 – 84",
        "%",
        "≥ 75",
        "met",
    ]
    assert any("MQTT 5, CPU" in line and "not met" in line for line in lines)
    assert any("shape was not measured: no way known" in line for line in lines)
    assert any("medians of 3 rounds, sizes × 0.5" in line for line in lines)


def test_the_json_has_all_of_it() -> None:
    document = json.loads(RESULTS.to_json())
    assert (document["machine"]["cores"], document["rounds"], document["scale"]) == (2, 3, 0.5)
    figure = document["figures"][2]
    assert (figure["median"], figure["min"], figure["max"]) == (81, 75, 84)
    assert (figure["target"], figure["met"], figure["values"]) == ("≥ 75", True, [75, 81, 84])


def test_the_machine_is_described_without_its_name() -> None:
    assert this_machine().cores >= 1
    assert os.uname().nodename not in repr(this_machine())


def test_the_chart_is_a_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the chart needs the extra `bench`")
    draw(RESULTS, tmp_path / "chart.png")
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")


def test_growth_is_summed_up_by_its_most_expensive_step() -> None:
    figures = [
        Figure("growth", f"{axis} {step}, {what}", "", (value,))
        for axis in ("rows", "devices", "tenants", "backlog")
        for step, value in ((1, 4.0), (10, 7.0), (100, 5.0))
        for what in ("CPU", "memory of writer", "memory of receiver")
    ]
    readings = {reading.name: reading.value for reading in conclude(figures)}
    assert readings["rows: cost a point"] == readings["backlog: cost a point"] == 7 / 4
    assert readings["all: memory of writer"] == readings["all: memory of receiver"] == 7


def test_every_scenario_has_its_name() -> None:
    names = "end-to-end receiver writer latency latest growth shape decode scale-out redis database console peers"
    assert list(SCENARIOS) == names.split()


@pytest.mark.parametrize(
    "shape",
    [
        Shape(300),
        Shape(50, points=1, devices=7, tenants=3),
        Shape(9, points=100, start=datetime(2026, 3, 1, 12, tzinfo=UTC), step_us=333.25),
    ],
)
def test_a_load_is_the_same_as_messages_and_as_rows(shape: Shape) -> None:
    decoder = v1_routes(10**6, 86_400, clock=lambda: START + timedelta(days=365))
    entries = [
        Entry("s", "1767225600000-0", topic, payload, START, 1)
        for topic, payload in shape.encoded(range(shape.messages))
    ]
    outcomes = [decoder.decode(entry) for entry in entries]
    assert all(isinstance(outcome, Decoded) for outcome in outcomes)
    stored = [tuple(row) for outcome in outcomes if isinstance(outcome, Decoded) for row in points_in(outcome)]
    assert stored == list(shape.records(range(shape.messages)))
    assert len({row[:4] for row in stored}) == shape.rows
    assert len({row[:2] for row in stored}) == min(shape.devices, shape.messages)
    assert len({row[0] for row in stored}) == shape.tenants


def test_a_shape_survives_the_way_to_another_process() -> None:
    shape = Shape(5, devices=2, start=datetime(2026, 3, 1, tzinfo=UTC), step_us=0.5)
    assert Shape.from_json(shape.to_json()) == shape


def test_a_load_with_a_rate_has_each_message_due_at_its_moment() -> None:
    assert [due_now(10, 2.0, elapsed) for elapsed in (-1.0, -0.01, 0.0, 0.49, 0.5, 100.0)] == [0, 0, 1, 1, 2, 10]
    assert due_now(10, 0, -1.0) == 10


@pytest.mark.parametrize("percent", [0, 1, 50, 100])
def test_duplicates_are_spread_evenly(percent: int) -> None:
    spread_out = spread(1_000, percent)
    assert [sum(number // 100 == hundred for number in spread_out) for hundred in range(10)] == [percent] * 10


class Rows:
    """A stage whose table has so many rows."""

    def __init__(self, rows: int) -> None:
        self._rows = rows

    async def rows(self) -> int:
        return self._rows


@pytest.mark.parametrize("rows", [9, 11])
async def test_a_run_that_lost_rows_or_made_some_up_has_no_figures(rows: int) -> None:
    with pytest.raises(Incomplete, match=f"{rows} rows where 10 "):
        await require_rows(Rows(rows), 10)  # type: ignore[arg-type]
    await require_rows(Rows(10), 10)  # type: ignore[arg-type]


class Socket:
    """Takes so many bytes a turn, and has PUBACKs to read when the test wants it."""

    def __init__(self, takes: int) -> None:
        self.sent, self.readable, self._takes = b"", b"", takes

    def setblocking(self, _flag: bool) -> None: ...

    def recv(self, _size: int) -> bytes:
        if not self.readable:
            raise BlockingIOError
        data, self.readable = self.readable, b""
        return data

    def send(self, data: bytes) -> int:
        self.sent += bytes(data[: self._takes])
        return min(len(data), self._takes)


def test_a_lane_sends_no_more_than_is_due_and_fits_into_its_window() -> None:
    socket = Socket(takes=5)
    lane = Lane(socket, [b"aaaa", b"bbbb", b"cccc", b"dddd"], window=2)  # type: ignore[arg-type]
    lane.turn(due=1)
    assert socket.sent == b"aaaa"
    for _ in range(3):
        lane.turn(due=4)
    assert socket.sent == b"aaaabbbb"
    socket.readable = b"\x40\x02\x00\x01\x40"
    for _ in range(3):
        lane.turn(due=4)
    assert (socket.sent, lane.acknowledged) == (b"aaaabbbbcccc", 1)
    socket.readable = b"\x02\x00\x02"
    lane.turn(due=4)
    assert (socket.sent, lane.acknowledged) == (b"aaaabbbbccccdddd", 2)


BURNING = """
import time
while time.process_time() < 0.5:
    pass
print(flush=True)
input()
"""
PARENT = f"""
import subprocess, sys
child = [sys.executable, "-c", {BURNING!r}]
subprocess.run(child, input=b"\\n", check=True)
living = subprocess.Popen(child, stdin=subprocess.PIPE)
input()
living.communicate(b"\\n")
"""


def test_cpu_of_children_counts_dead_or_alive() -> None:
    process = subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout
        assert [process.stdout.readline() for _ in range(2)] == [b"\n", b"\n"]
        assert cpu_seconds({"parent": process.pid})["parent"] > 0.85
        assert peak_mib(process.pid) > 1
    finally:
        process.communicate(b"\n")
