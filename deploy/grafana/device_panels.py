"""The kinds of panel that the dashboard of devices has. Each runs a query of queries.sql."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from grafana_foundation_sdk.builders.common import ReduceDataOptions, VizLegendOptions, VizTooltipOptions
from grafana_foundation_sdk.builders.stat import Panel as StatPanel
from grafana_foundation_sdk.builders.table import Panel as TablePanel
from grafana_foundation_sdk.builders.timeseries import Panel as TimeseriesPanel
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    LegendDisplayMode,
    LegendPlacement,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import DataSourceRef, DynamicConfigValue

from deploy.grafana.panels import NO_DATA, thresholds
from traksense_ingest.shared.sql import statements

TENANT = DataSourceRef(type_val="grafana-postgresql-datasource", uid="${tenant}")  # the variable
FINEST = "1s"  # the shortest interval of a graph; by default Grafana has a minute


def sql(name: str) -> str:
    """A statement of queries.sql, without the comments of the next one."""
    lines = statements("deploy.grafana")[name].splitlines()
    return "\n".join(line for line in lines if not line.startswith("--")).strip()


class Query(Dataquery):
    """SQL in the format of Grafana's data source, for which the SDK does not have a builder."""

    def __init__(self, name: str, form: str) -> None:
        self._name, self._form = name, form

    def to_json(self) -> dict[str, object]:
        """As Grafana's editor stores it."""
        return {
            "refId": "A",
            "datasource": TENANT,
            "editorMode": "code",
            "format": self._form,
            "rawQuery": True,
            "rawSql": sql(self._name),
        }


class Ask(Builder[Dataquery]):
    """A query of queries.sql, whose result is a `table` or a `time_series`."""

    def __init__(self, name: str, form: str = "table") -> None:
        self._query = Query(name, form)

    def build(self) -> Dataquery:
        """The query."""
        return self._query


def figures(
    title: str,
    description: str,
    query: str,
    colours: Mapping[str, Mapping[float | None, str]],
    *,
    of_seconds: Sequence[str] = (),
    width: int,
) -> StatPanel:
    """The columns of the query's one row, each a figure with its own colours."""
    panel = (
        StatPanel()
        .title(title)
        .description(description)
        .datasource(TENANT)
        .with_target(Ask(query))
        .unit(units.Short)
        .mappings([NO_DATA])
        .color_mode(BigValueColorMode.BACKGROUND)
        .graph_mode(BigValueGraphMode.NONE)
        .reduce_options(ReduceDataOptions().calcs(["lastNotNull"]))
        .height(4)
        .span(width)
    )
    for column, steps in colours.items():
        properties = [DynamicConfigValue("thresholds", thresholds(steps).build())]
        if column in of_seconds:
            properties.append(DynamicConfigValue("unit", units.Seconds))
        panel.override_by_name(column, properties)
    return panel


def table(
    title: str,
    description: str,
    query: str,
    columns: Mapping[str, Sequence[DynamicConfigValue]] = MappingProxyType({}),
    *,
    height: int,
    width: int,
) -> TablePanel:
    """The query's rows; `columns` are those that are not shown as by default."""
    panel = (
        TablePanel()
        .title(title)
        .description(description)
        .datasource(TENANT)
        .with_target(Ask(query))
        .filterable(True)
        .height(height)
        .span(width)
    )
    for column, properties in columns.items():
        panel.override_by_name(column, list(properties))
    return panel


def graph(title: str, description: str, query: str, unit: str, *, height: int, width: int) -> TimeseriesPanel:
    """A line for each `metric` of the query."""
    return (
        TimeseriesPanel()
        .title(title)
        .description(description)
        .datasource(TENANT)
        .with_target(Ask(query, "time_series"))
        .interval(FINEST)
        .unit(unit)
        .show_points(VisibilityMode.AUTO)
        .legend(
            VizLegendOptions()
            .show_legend(True)
            .display_mode(LegendDisplayMode.TABLE)
            .placement(LegendPlacement.RIGHT)
            .calcs(["lastNotNull", "min", "max"])
        )
        .tooltip(VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
        .height(height)
        .span(width)
    )


def unit(name: str) -> DynamicConfigValue:
    """The unit of a column."""
    return DynamicConfigValue("unit", name)


def width_of(pixels: int) -> DynamicConfigValue:
    """The width of a column."""
    return DynamicConfigValue("custom.width", pixels)


def link(title: str, url: str) -> DynamicConfigValue:
    """Where a click on a cell leads."""
    return DynamicConfigValue("links", [{"title": title, "url": url}])


def coloured(colours: Mapping[str, str]) -> list[DynamicConfigValue]:
    """A column whose texts have colours."""
    options = {text: {"color": colour, "index": index} for index, (text, colour) in enumerate(colours.items())}
    cell: dict[str, Any] = {"type": "color-background", "mode": "basic"}
    return [
        DynamicConfigValue("mappings", [{"type": "value", "options": options}]),
        DynamicConfigValue("custom.cellOptions", cell),
    ]
