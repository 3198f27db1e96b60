"""Grafana's dashboards, and what its PostgreSQL data source makes of a query before the server gets it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from deploy.grafana.devices import PATH as DEVICES

_VARIABLE = re.compile(r"\$\{?(\w+)\}?")
_MACRO = re.compile(r"\$(__\w+)\(([^)]*)\)")


class Shown(NamedTuple):
    """What a user has chosen; `source` is what its query has returned."""

    start: datetime
    end: datetime
    device: Sequence[str]
    point: Sequence[str]
    source: str = "readings"
    interval: timedelta = timedelta(minutes=1)


def panels_of(path: Path) -> list[dict[str, Any]]:
    """A dashboard's panels, as committed."""
    return list(json.loads(path.read_text())["panels"])


def variables_of(path: Path) -> dict[str, dict[str, Any]]:
    """A dashboard's variables, by name, as committed."""
    return {variable["name"]: variable for variable in json.loads(path.read_text())["templating"]["list"]}


def cells_of(panels: Sequence[Mapping[str, Any]]) -> list[tuple[int, int]]:
    """Which cells of Grafana's grid the panels take, as often as they take them."""
    return [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]


def statements() -> dict[str, str]:
    """All SQL of the dashboard of devices: of its panels, by title, and of its variables."""
    panels = {target_panel["title"]: sql for target_panel, sql in _targets()}
    return panels | {
        name: variable["query"] for name, variable in variables_of(DEVICES).items() if variable["type"] == "query"
    }


def filled_in(sql: str, shown: Shown) -> str:
    """First the browser replaces variables, with each value quoted, then the server its macros: in values, too."""
    values = {
        "device": ",".join(map(_quoted, shown.device)),
        "point": ",".join(map(_quoted, shown.point)),
        "source": shown.source.replace("'", "''"),
        "__interval_ms": str(shown.interval // timedelta(milliseconds=1)),
    }
    return _MACRO.sub(
        lambda macro: _expanded(macro[1], macro[2], shown),
        _VARIABLE.sub(lambda found: values.get(found[1], found[0]), sql),
    )


def _targets() -> Iterator[tuple[dict[str, Any], str]]:
    for panel in panels_of(DEVICES):
        for target in panel.get("targets", ()):
            yield panel, target["rawSql"]


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _expanded(name: str, argument: str, shown: Shown) -> str:
    start, end = (f"'{time.isoformat()}'" for time in (shown.start, shown.end))
    return {"__timeFilter": f"{argument} BETWEEN {start} AND {end}", "__timeFrom": start, "__timeTo": end}[name]
