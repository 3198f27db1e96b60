"""A dashboard as the JSON that is committed, which Grafana reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder

DASHBOARDS = Path(__file__).parent / "dashboards"


def as_json(dashboard: Dashboard) -> str:
    """Its panels are numbered in their order."""
    built: Any = dashboard.build()
    for number, panel in enumerate(built.panels, 1):
        panel.id_val = number
    return json.dumps(built, cls=JSONEncoder, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
