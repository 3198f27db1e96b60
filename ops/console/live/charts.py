"""Charts as SVG, without a script, and without style attributes, which the Content-Security-Policy forbids."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import compress
from typing import NamedTuple

from markupsafe import Markup

BAR, GAP, HEIGHT = 4, 1, 24  # of a sparkline, in its own units
PLOT_WIDTH, PLOT_HEIGHT = 600, 120  # of a chart, in its own units
LONGEST_GAP_S = 8.0  # between two samples of one line: a database that does not answer delays them by some seconds


class Series(NamedTuple):
    """A line of a chart; `style` is its class in the style sheet. None is a gap."""

    name: str
    style: str
    values: Sequence[float | None]


class Chart(NamedTuple):
    """For the template `chart.html`: the labels are text around the drawing, so that they keep their size on a small
    screen. `ticks` are those of the vertical axis, the highest one first; `legend` has each line's name, style and
    latest value."""

    title: str
    text: str  # the same as text, for screen readers
    ticks: Sequence[str]
    legend: Sequence[tuple[str, str, str]]
    minutes: int
    drawing: Markup


def chart(
    title: str,
    moments: Sequence[float],
    series: Sequence[Series],
    words: Callable[[float | None], str],
    window_s: float,
) -> Chart:
    """Lines over the last `window_s` seconds; `moments` are those of their values, the last one is now. Values of other
    moments are left out: of a time before, or of a clock that was ahead."""
    end = moments[-1] if moments else 0.0
    kept = [0 <= end - at <= window_s for at in moments]
    moments = list(compress(moments, kept))
    series = [each._replace(values=list(compress(each.values, kept))) for each in series]
    highest = _round_above(max((value for each in series for value in each.values if value is not None), default=0.0))
    xs = [round(PLOT_WIDTH * (1 - (end - at) / window_s)) for at in moments]
    longest = LONGEST_GAP_S / window_s * PLOT_WIDTH
    lines = [
        Markup('<path class="line {}" d="{}"/>').format(each.style, _path(xs, each.values, highest, longest))
        for each in series
    ]
    text = "; ".join(_in_words(each, words) for each in series)
    return Chart(
        title,
        f"{title}, the last {window_s / 60:.0f} minutes. {text}.",
        [words(highest), words(highest / 2), words(0)],
        [(each.name, each.style, _latest(each, words)) for each in series],
        round(window_s / 60),
        Markup(
            '<svg class="plot" viewBox="0 0 {} {}" preserveAspectRatio="none" aria-hidden="true">'
            '<path class="grid" d="M0 0H{}M0 {}H{}M0 {}H{}"/>{}</svg>'
        ).format(
            PLOT_WIDTH,
            PLOT_HEIGHT,
            PLOT_WIDTH,
            PLOT_HEIGHT // 2,
            PLOT_WIDTH,
            PLOT_HEIGHT,
            PLOT_WIDTH,
            Markup("").join(lines),
        ),
    )


def _path(xs: Sequence[int], values: Sequence[float | None], highest: float, longest_gap: float) -> str:
    path, last = [], -math.inf
    for x, value in zip(xs, values, strict=True):
        if value is None:
            last = -math.inf
            continue
        y = round(PLOT_HEIGHT - min(1.0, value / highest) * (PLOT_HEIGHT - 2) - 1)
        path.append(f"{'L' if x - last <= longest_gap else 'M'}{x} {y}")
        last = x
    return "".join(path)


def _round_above(value: float) -> float:
    """1, 2, 5, 10, 20 … or 0.5, 0.2, …: the end of an axis."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if value <= step * power * (1 + 1e-9))


def _latest(series: Series, words: Callable[[float | None], str]) -> str:
    latest = series.values[-1] if series.values else None
    return "–" if latest is None else words(latest)


def _in_words(series: Series, words: Callable[[float | None], str]) -> str:
    known = [value for value in series.values if value is not None]
    if not known:
        return f"{series.name}: nothing"
    return f"{series.name}: now {_latest(series, words)}, from {words(min(known))} to {words(max(known))}"


def bars(values: Sequence[float], label: str) -> Markup:
    """A sparkline of bars, each relative to the highest one; `label` is the same as text."""
    width, highest = len(values) * (BAR + GAP), max([*values, 1e-9])
    shown = [
        Markup('<rect x="{}" y="{:.1f}" width="{}" height="{:.1f}"/>').format(
            index * (BAR + GAP), HEIGHT - value / highest * HEIGHT, BAR, value / highest * HEIGHT
        )
        for index, value in enumerate(values)
        if value
    ]
    return _spark(width, label, Markup("").join(shown))


def line(values: Sequence[float | None], label: str) -> Markup:
    """A sparkline of the values in equal steps, from the lowest to the highest one; None is a gap."""
    known = [value for value in values if value is not None]
    low, span = min(known, default=0.0), max(max(known, default=0.0) - min(known, default=0.0), 1e-9)
    path, is_down = [], False
    for index, value in enumerate(values):
        if value is not None:
            y = HEIGHT - 1 - (value - low) / span * (HEIGHT - 2)
            path.append(f"{'L' if is_down else 'M'}{index * (BAR + GAP)} {y:.1f}")
        is_down = value is not None
    return _spark(len(values) * (BAR + GAP), label, Markup('<path class="line" d="{}"/>').format(" ".join(path)))


def _spark(width: int, label: str, content: Markup) -> Markup:
    return Markup(
        '<svg class="spark" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>'
    ).format(max(width, 1), HEIGHT, label, content)
