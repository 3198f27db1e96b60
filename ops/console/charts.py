"""Charts as SVG, made here: the browser needs no script for them. No style attributes, which the policy forbids."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

BAR, GAP, HEIGHT = 4, 1, 24  # of a sparkline, in its own units


def bars(values: Sequence[float], label: str) -> Markup:
    """A sparkline of bars, each relative to the highest one; `label` says the same in words."""
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
