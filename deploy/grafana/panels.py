"""The kinds of panel that the pipeline's dashboard has."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from grafana_foundation_sdk.builders.common import ReduceDataOptions, VizLegendOptions, VizTooltipOptions
from grafana_foundation_sdk.builders.dashboard import ThresholdsConfig
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.builders.stat import Panel as StatPanel
from grafana_foundation_sdk.builders.text import Panel as TextPanel
from grafana_foundation_sdk.builders.timeseries import Panel as TimeseriesPanel
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    LegendPlacement,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardSpecialValueMapOptions,
    DataSourceRef,
    SpecialValueMap,
    SpecialValueMatch,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.text import TextMode

PROMETHEUS = DataSourceRef(type_val="prometheus", uid="prometheus")  # provisioning/datasources/prometheus.yml

# Without it, what is unknown has the colour of the lowest value, which is mostly green.
NO_DATA = SpecialValueMap(
    DashboardSpecialValueMapOptions(SpecialValueMatch.NULL_AND_NAN, ValueMappingResult("no data", color="#808080"))
)

WIDTH = 24  # of the whole dashboard, in Grafana's columns


def stat(
    title: str,
    description: str,
    query: str,
    unit: str,
    colours: Mapping[float | None, str],
    *,
    texts: Mapping[float, str] = MappingProxyType({}),
    width: int,
) -> StatPanel:
    """One figure, now. `colours` begin at a value and hold up to the next; None is the lowest. `texts` replace it."""
    return (
        StatPanel()
        .title(title)
        .description(description)
        .datasource(PROMETHEUS)
        .with_target(Dataquery().ref_id("A").datasource(PROMETHEUS).expr(query).instant())
        .unit(unit)
        .thresholds(thresholds(colours))
        .mappings([*_texts(texts), NO_DATA])
        .color_mode(BigValueColorMode.BACKGROUND)
        .graph_mode(BigValueGraphMode.NONE)
        .reduce_options(ReduceDataOptions().calcs(["lastNotNull"]))
        .height(4)
        .span(width)
    )


def graph(title: str, description: str, queries: Mapping[str, str], unit: str, *, width: int) -> TimeseriesPanel:
    """Lines over time, by their legends."""
    panel = (
        TimeseriesPanel()
        .title(title)
        .description(description)
        .datasource(PROMETHEUS)
        .unit(unit)
        .min(0)
        .fill_opacity(10)
        .legend(VizLegendOptions().show_legend(True).placement(LegendPlacement.BOTTOM))
        .tooltip(VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
        .height(7)
        .span(width)
    )
    for number, (legend, query) in enumerate(queries.items()):
        target = Dataquery().ref_id("ABCDEF"[number]).datasource(PROMETHEUS)
        panel.with_target(target.expr(query).legend_format(legend).range())
    return panel


def heading(text: str, *, width: int) -> TextPanel:
    """What the column below is about."""
    return TextPanel().mode(TextMode.MARKDOWN).content(text).transparent(True).height(2).span(width)


def _texts(texts: Mapping[float, str]) -> list[ValueMap]:
    return [ValueMap({str(value): ValueMappingResult(text)}) for value, text in texts.items()]


def thresholds(colours: Mapping[float | None, str]) -> ThresholdsConfig:
    """Colours that begin at a value and hold up to the next; None is the lowest."""
    steps = [Threshold(value, colour) for value, colour in colours.items()]
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)
