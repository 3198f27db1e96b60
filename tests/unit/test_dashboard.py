"""The pipeline's dashboard is what its script makes, and asks for what there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from deploy.grafana.dashboard import PATH, dashboard
from deploy.grafana.document import as_json
from tests.support.grafana import cells_of
from tests.support.prometheus import catalogue, names_in, panels, queries, rules
from tests.unit.test_alerts import GAUGES_OF_THE_STREAMS

PROVISIONING = Path(__file__).parents[2] / "deploy" / "grafana" / "provisioning"
ASKED_AT_ONCE = {
    "Points/s": "ingest_points_total",
    "Backlog": "ingest_queue_size",
    "p99 latency": "ingest_latency_seconds",
    "Dead letters, 1 h": "ingest_dlq_rows_total",
    "Lost": "ingest_lost_entries",
}
STAGES = {  # and what the first graph of each is about
    "broker": "ingest_received_messages_total",
    "stream": "ingest_queue_size",
    "writer": "ingest_batch_size",
    "database": "ingest_points_total",
}


def test_the_committed_one_is_what_the_script_makes() -> None:
    assert PATH.read_text() == as_json(dashboard()), "run python -m deploy.grafana.dashboard"


def test_it_asks_for_metrics_that_there_are() -> None:
    asked = {name for query in queries().values() for name in names_in(query)}
    assert asked <= catalogue() | {rule["record"] for rule in rules("record")}


def test_it_shows_every_metric() -> None:
    """But for the counts that only repeat another one, and what `status` shows of mappings."""
    asked = {re.sub(r"_(bucket|sum|count)$", "", name) for query in queries().values() for name in names_in(query)}
    shown = {re.sub(r"_(bucket|sum|count)$", "", name) for name in catalogue()}
    repeating = {"ingest_append_batch_size", "ingest_backpressure", "ingest_messages_total"}
    assert shown - asked == repeating | {"ingest_mapping_reload_errors_total"}


def test_what_each_process_sees_is_not_added_up() -> None:
    gauges = "|".join(GAUGES_OF_THE_STREAMS)
    assert not [query for query in queries().values() if re.search(rf"sum.*\b({gauges})\b", query)]


def test_every_panel_is_explained_and_has_a_unit() -> None:
    for panel in panels():
        if panel["type"] != "text":
            assert panel["title"]
            assert panel["description"].endswith(".")
            assert panel["fieldConfig"]["defaults"]["unit"]


def test_every_query_goes_to_the_data_source_that_is_provisioned() -> None:
    (source,) = yaml.safe_load((PROVISIONING / "datasources" / "prometheus.yml").read_text())["datasources"]
    uids = {target["datasource"]["uid"] for panel in panels() for target in panel.get("targets", ())}
    assert uids == {source["uid"]}


def test_panels_fill_their_rows_and_do_not_overlap() -> None:
    cells = cells_of(panels())
    assert len(cells) == len(set(cells))
    assert set(cells) == {(x, y) for x in range(24) for y in range(max(y for _, y in cells) + 1)}


def by_x(row: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(row, key=lambda panel: int(panel["gridPos"]["x"]))


def test_the_top_row_is_what_an_operator_asks_at_once() -> None:
    top = by_x([panel for panel in panels() if panel["gridPos"]["y"] == 0])
    titles = [panel["title"] for panel in top]
    assert [title for title in titles if title in ASKED_AT_ONCE] == list(ASKED_AT_ONCE)
    for panel in top:
        metric = ASKED_AT_ONCE.get(panel["title"], "")
        assert metric in panel["targets"][0]["expr"]


def test_a_loss_is_red_at_the_first_entry() -> None:
    (lost,) = [panel for panel in panels() if panel.get("title") == "Lost"]
    steps = lost["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert [(step["value"], step["color"]) for step in steps] == [(None, "green"), (1, "red")]


def test_the_columns_are_the_stages_in_the_order_in_which_a_message_passes_them() -> None:
    headings = by_x([panel for panel in panels() if panel["type"] == "text"])
    assert len({panel["gridPos"]["y"] for panel in headings}) == 1
    for heading, (stage, metric) in zip(headings, STAGES.items(), strict=True):
        assert heading["options"]["content"].removeprefix("### ").lower().startswith(stage)
        below = [panel for panel in panels() if panel["gridPos"]["x"] == heading["gridPos"]["x"] and "targets" in panel]
        first = min((panel for panel in below if panel["gridPos"]["y"] > 0), key=lambda panel: panel["gridPos"]["y"])
        assert metric in first["targets"][0]["expr"]
