"""The devices of a tenant: `python -m deploy.grafana.devices` writes it to dashboards/traksense-devices.json.

First all devices, those with a problem first; then the readings, commands and events of the chosen devices.
"""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard, DatasourceVariable, QueryVariable
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    Panel,
    VariableHide,
    VariableOption,
    VariableRefresh,
)

from deploy.grafana.device_panels import TENANT, coloured, figures, graph, link, sql, table, unit, width_of
from deploy.grafana.document import DASHBOARDS, as_json
from deploy.grafana.panels import WIDTH, heading

PATH = DASHBOARDS / "traksense-devices.json"
UID = "traksense-devices"

GREEN, ORANGE, RED, BLUE = "green", "orange", "red", "blue"
STATUSES = {"offline": RED, "silent": RED, "late": ORANGE, "online": GREEN}
RESULTS = {"failed": RED, "overdue": ORANGE, "no ACK yet": BLUE, "done": GREEN}


def tenant() -> DatasourceVariable:
    """Each tenant has its own data source, whose role decides what it reads, not a value in a query."""
    return (
        DatasourceVariable("tenant")
        .label("Tenant")
        .type("grafana-postgresql-datasource")
        .regex("/^Tenant/")
        .current(VariableOption(selected=True, text="Tenant", value="tenant"))  # provisioning/datasources/tenant.yml
        .allow_custom_value(False)
    )


def choice(name: str, label: str, query: str) -> QueryVariable:
    """A variable of which any number of values can be chosen."""
    return (
        QueryVariable(name)
        .label(label)
        .datasource(TENANT)
        .query(sql(query))
        .multi(True)
        .refresh(VariableRefresh.ON_DASHBOARD_LOAD)
    )


def points() -> QueryVariable:
    """Of the chosen devices; all of them at first."""
    return (
        choice("point", "Points", "points")
        .include_all(True)
        .current(VariableOption(selected=True, text=["All"], value=["$__all"]))
    )


def source() -> QueryVariable:
    """What graphs read; it depends on the time range."""
    return (
        QueryVariable("source")
        .hide(VariableHide.HIDE_VARIABLE)
        .datasource(TENANT)
        .query(sql("source"))
        .allow_custom_value(False)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
    )


def all_devices() -> list[Builder[Panel]]:
    """The status of all devices, and their commands."""
    return [
        figures(
            "Devices by status",
            "Now. Offline: its state says so, or its last will. Silent: nothing for more than 5 times its interval. "
            "Late: nothing for more than twice its interval. Clock is wrong: by more than a minute.",
            "statuses",
            {
                "offline": {None: GREEN, 1: RED},
                "silent": {None: GREEN, 1: RED},
                "late": {None: GREEN, 1: ORANGE},
                "online": {None: GREEN},
                "clock is wrong": {None: GREEN, 1: ORANGE},
            },
            width=WIDTH // 2,
        ),
        figures(
            "Commands of all devices",
            "Sent in the time range. Overdue: without an ACK after INGEST_ACK_TIMEOUT_S. Latency: until the ACK.",
            "answers",
            {
                "sent": {None: BLUE},
                "acknowledged": {None: BLUE},
                "failed": {None: GREEN, 1: RED},
                "overdue": {None: GREEN, 1: ORANGE},
                "latency, p95": {None: BLUE},
            },
            of_seconds=["latency, p95"],
            width=WIDTH // 2,
        ),
        table(
            "Devices, those with a problem first",
            "Click on a device to choose it. Interval: how often it sends, learned or set. Clock: by how much "
            "it is behind (positive) or ahead (negative). At most 1000 devices.",
            "device_list",
            {
                "device": [link("Choose this device", f"/d/{UID}?${{tenant:queryparam}}&var-device=${{__value.raw}}")],
                "status": [*coloured(STATUSES), width_of(100)],
                "since": [unit(units.DateTimeFromNow)],
                "last seen": [unit(units.DateTimeFromNow)],
                "interval": [unit(units.Seconds), width_of(120)],
                "clock": [unit(units.Seconds), width_of(120)],
            },
            height=9,
            width=WIDTH,
        ),
    ]


def chosen_devices() -> list[Builder[Panel]]:
    """Their readings, commands and events."""
    third = WIDTH // 3
    return [
        heading("### ${device:csv}", width=WIDTH),
        table(
            "Latest values",
            "The newest reading of each point, also if it is older than the time range.",
            "latest",
            {"age": [unit(units.Seconds), width_of(110)], "unit": [width_of(70)]},
            height=11,
            width=third,
        ),
        graph(
            "Numbers",
            "The mean of each interval. Below 6 hours it is computed from rows, below 2 days from the aggregate of 1 "
            "minute, below 14 days of 5 minutes, else of 1 hour; where one is missing, from the next finer.",
            "numbers",
            units.NoUnit,
            height=11,
            width=WIDTH - third,
        ),
        graph(
            "Share of readings that are on",
            "Of points that are true or false: the duty cycle of a compressor that sends at regular intervals.",
            "ratios",
            units.PercentUnit,
            height=8,
            width=WIDTH // 2,
        )
        .min(0)
        .max(1)
        .fill_opacity(10),
        table(
            "Events and states",
            "Of the time range, the newest 200. State: the state of its connection, from the device or its last will.",
            "events",
            height=8,
            width=WIDTH // 2,
        ),
        table(
            "Commands",
            "Sent in the time range, the newest 200.",
            "command_list",
            {"result": [*coloured(RESULTS), width_of(100)], "latency": [unit(units.Seconds), width_of(110)]},
            height=8,
            width=WIDTH,
        ),
    ]


def dashboard() -> Dashboard:
    """The dashboard."""
    made = (
        Dashboard("Devices of a tenant")
        .uid(UID)
        .description("Devices with a problem, and the readings of the chosen ones. Its data source reads one tenant.")
        .tags(["traksense", "devices"])
        .time("now-6h", "now")
        .refresh("1m")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .variables([tenant(), choice("device", "Devices", "devices"), points(), source()])
    )
    for panel in [*all_devices(), *chosen_devices()]:
        made.with_panel(panel)
    return made


if __name__ == "__main__":
    PATH.write_text(as_json(dashboard()))
