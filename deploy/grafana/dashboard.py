"""The pipeline's dashboard: `python -m deploy.grafana.dashboard` writes it to dashboards/traksense-ingest.json.

First what an operator asks at once, then a column for each stage, in the order in which a message passes them.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from grafana_foundation_sdk.builders.dashboard import AnnotationQuery, Dashboard, QueryVariable
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    Panel,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from deploy.grafana.document import DASHBOARDS, as_json
from deploy.grafana.overview import stats
from deploy.grafana.panels import PROMETHEUS, WIDTH
from deploy.grafana.stages import broker, database, stream, whole, writer

PATH = DASHBOARDS / "traksense-ingest.json"


def side_by_side(columns: Iterable[list[Builder[Panel]]]) -> Iterable[Builder[Panel]]:
    """Columns of panels in the order in which Grafana fills its rows."""
    return chain.from_iterable(zip(*columns, strict=True))


def choice(name: str, label: str, query: str) -> QueryVariable:
    """A variable of which any number of values can be chosen; all of them at first."""
    return (
        QueryVariable(name)
        .label(label)
        .datasource(PROMETHEUS)
        .query({"query": query, "refId": name})
        .multi(True)
        .include_all(True)
        .all_value(".+")
        .current(VariableOption(selected=True, text=["All"], value=["$__all"]))
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
    )


def alerts() -> AnnotationQuery:
    """A mark in each graph while an alert fires."""
    return (
        AnnotationQuery()
        .name("Alerts")
        .datasource(PROMETHEUS)
        .enable(True)
        .icon_color("red")
        .expr('ALERTS{alertname=~"Ingest.+",alertstate="firing"}')
    )


def dashboard() -> Dashboard:
    """The whole of it."""
    width = WIDTH // 4
    columns = broker(width), stream(width), writer(width), database(width)
    made = (
        Dashboard("TrakSense ingest")
        .uid("traksense-ingest")
        .description("From the broker to TimescaleDB: a message passes the columns from left to right.")
        .tags(["traksense", "ingest"])
        .time("now-1h", "now")
        .refresh("15s")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .variables(
            [
                choice("job", "Service", "label_values(ingest_connected, job)"),
                choice("instance", "Process", 'label_values(ingest_connected{job=~"$job"}, instance)'),
            ]
        )
        .annotation(alerts())
    )
    for panel in [*stats(), *side_by_side(columns), *whole(width)]:
        made.with_panel(panel)
    return made


if __name__ == "__main__":
    PATH.write_text(as_json(dashboard()))
