"""The console's charts: what they draw of samples, and the same as text."""

from __future__ import annotations

import re

from traksense_ingest.ops.console.live.charts import Chart, Series, chart

WINDOW_S = 300.0


def drawn(moments: list[float], values: list[float | None]) -> Chart:
    return chart("Rate", moments, [Series("in", "in", values)], lambda value: f"{value:g}/s", WINDOW_S)


def xs_of(found: Chart) -> list[int]:
    """Of the one line."""
    path = re.search(r'class="line in" d="([^"]*)"', found.drawing)
    assert path is not None
    return [int(x) for x in re.findall(r"[ML](-?\d+) ", path[1])]


def test_samples_before_the_window_are_not_drawn_beside_it() -> None:
    """There are more of them after an outage, in which each takes some seconds."""
    found = drawn([1000.0 - 6 * step for step in range(100, -1, -1)], [900.0, *[7.0] * 100])
    xs = xs_of(found)
    assert (xs[0], xs[-1]) == (0, 600)
    assert "from 7/s to 7/s" in found.text
    assert found.ticks[0] == "10/s"


def test_samples_of_a_clock_that_was_ahead_are_not_drawn() -> None:
    assert xs_of(drawn([5000.0, 5001.0, 1000.0, 1001.0], [1.0, 1.0, 1.0, 1.0])) == [598, 600]


def test_a_gap_is_no_line() -> None:
    found = drawn([0.0, 1.0, 2.0, 3.0, 60.0], [1.0, None, 1.0, 1.0, 1.0])
    path = re.search(r'class="line in" d="([^"]*)"', found.drawing)
    assert path is not None
    assert re.sub(r"[^ML]", "", path[1]) == "MMLM"


def test_without_samples_there_is_nothing_to_say() -> None:
    assert drawn([], []).text == "Rate, the last 5 minutes. in: nothing."
