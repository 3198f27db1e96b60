"""The results as a picture: rates beside their references, latency, and what a point costs as things grow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.figure import Figure
from bench.results import Results
from bench.scenarios.growth import AXES, COST, figures_along
from bench.table import number

_OURS, _REFERENCE = "#1f6f8b", "#b8c4c9"
_WIDTH, _HEIGHT, _DPI = 11.0, 7.0, 120


def draw(results: Results, path: Path) -> None:
    """Write a PNG with a panel for each scenario that was measured and has one."""
    import matplotlib as mpl  # noqa: PLC0415  (an extra, for those who want a chart)

    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    panels = [(panel, found) for scenario, panel in _PANELS.items() if (found := _of(results, scenario))]
    columns = min(2, max(1, len(panels)))
    rows = max(1, -(-len(panels) // columns))
    figure, axes = plt.subplots(rows, columns, figsize=(_WIDTH, _HEIGHT / 2 * rows), squeeze=False)
    for axis, (panel, found) in zip(axes.flat, panels, strict=False):
        panel(axis, found)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in list(axes.flat)[len(panels) :]:
        axis.set_visible(False)
    machine = results.machine
    figure.suptitle(f"Medians of {results.plan.rounds} rounds; {machine.cores} cores of {machine.cpu} for everything")
    figure.tight_layout()
    figure.savefig(path, dpi=_DPI)
    plt.close(figure)


def _of(results: Results, scenario: str) -> list[Figure]:
    return [figure for figure in results.figures if figure.scenario == scenario]


def _end_to_end(axis: Any, figures: Sequence[Figure]) -> None:
    _bars(axis, "points/s, end to end", [figure for figure in figures if figure.unit == "points/s"])


def _receiver(axis: Any, figures: Sequence[Figure]) -> None:
    _bars(axis, "receiver: CPU µs a message", [figure for figure in figures if figure.unit == "µs/message"])


def _bars(axis: Any, title: str, figures: Sequence[Figure]) -> None:
    """One for each figure, with a whisker from the least to the most; the first one on top."""
    names = [figure.name.removesuffix(", CPU").replace(", ", ",\n") for figure in figures]
    medians = [figure.median for figure in figures]
    colours = [_REFERENCE if _is_reference(figure) else _OURS for figure in figures]
    axis.barh(names, medians, color=colours, xerr=_whiskers(figures), ecolor="#555555", capsize=3)
    for index, figure in enumerate(figures):
        axis.text(max(figure.values), index, f"  {number(figure.median)}", va="center", ha="left")
    axis.set_title(title, loc="left")
    axis.set_xticks([])
    axis.invert_yaxis()
    axis.set_xlim(0, 1.2 * max(max(figure.values) for figure in figures))


def _is_reference(figure: Figure) -> bool:
    return figure.name in {"bare COPY", "naive design"} or "does nothing" in figure.name


def _whiskers(figures: Sequence[Figure]) -> list[list[float]]:
    """How far the extremes are from the medians, below and above."""
    below = [figure.median - min(figure.values) for figure in figures]
    return [below, [max(figure.values) - figure.median for figure in figures]]


def _latency(axis: Any, figures: Sequence[Figure]) -> None:
    quantiles = [figure for figure in figures if ", p" in figure.name]
    _bars(axis, "publish → committed, ms", quantiles)


def _growth(axis: Any, figures: Sequence[Figure]) -> None:
    """A line for each axis, against its beginning."""
    for name in AXES:
        steps = figures_along(figures, name, COST)
        costs = [step.median / steps[0].median for step in steps]
        axis.plot(costs, marker="o", label=steps[-1].name.removesuffix(f", {COST}"))
    axis.set_title("cost of a point as things grow, × the first step", loc="left")
    axis.set_ylim(bottom=0)
    axis.set_xticks([])
    axis.legend(frameon=False)


_PANELS: dict[str, Callable[[Any, Sequence[Figure]], None]] = {
    "end-to-end": _end_to_end,
    "receiver": _receiver,
    "latency": _latency,
    "growth": _growth,
}
