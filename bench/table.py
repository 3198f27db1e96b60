"""The results as a table on the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from rich.console import Group, RenderableType
from rich.table import Table

from bench.figure import Figure
from bench.results import Results

_VERDICTS = {True: "[green]met[/]", False: "[red]not met[/]", None: ""}


def report(results: Results) -> RenderableType:
    """A table for each scenario, and below them what it was measured on."""
    return Group(*_tables(results), *_remarks(results))


def number(value: float) -> str:
    """Three digits that mean something."""
    if abs(value) >= 1000:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def _tables(results: Results) -> Iterator[Table]:
    for scenario, figures in groupby(results.figures, key=lambda figure: figure.scenario):
        table = Table(title=scenario, title_justify="left", title_style="bold")
        table.add_column("figure", no_wrap=True)
        table.add_column("median", justify="right", no_wrap=True)
        table.add_column("min – max", justify="right", no_wrap=True)
        table.add_column("unit", no_wrap=True)
        table.add_column("target", no_wrap=True)
        table.add_column("", no_wrap=True)
        for figure in figures:
            table.add_row(*_row(figure))
        yield table


def _row(figure: Figure) -> tuple[str, ...]:
    extremes = f"{number(min(figure.values))} – {number(max(figure.values))}" if len(figure.values) > 1 else ""
    target = "" if figure.target is None else str(figure.target)
    return figure.name, number(figure.median), extremes, figure.unit, target, _VERDICTS[figure.is_met]


def _remarks(results: Results) -> Iterator[str]:
    yield str(results.machine)
    yield ", ".join(results.servers.values())
    yield f"medians of {results.plan.rounds} rounds, sizes × {results.plan.scale:g}"
    for scenario, reason in results.impossible.items():
        yield f"{scenario} was not measured: {reason}"
