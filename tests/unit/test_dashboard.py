"""The dashboard is what its script makes, and asks for what there is."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from deploy.grafana.dashboard import PATH, as_json
from tests.support.prometheus import catalogue, names_in, panels, queries, rules
from tests.unit.test_alerts import GAUGES_OF_THE_STREAMS

PROVISIONING = Path(__file__).parents[2] / "deploy" / "grafana" / "provisioning"


def test_the_committed_one_is_what_the_script_makes() -> None:
    assert PATH.read_text() == as_json(), "run python -m deploy.grafana.dashboard"


def test_it_asks_for_metrics_that_there_are() -> None:
    asked = {name for query in queries().values() for name in names_in(query)}
    assert asked <= catalogue() | {rule["record"] for rule in rules("record")}


def test_it_shows_every_metric() -> None:
    """But for the counts that only repeat another one."""
    asked = {re.sub(r"_(bucket|sum|count)$", "", name) for query in queries().values() for name in names_in(query)}
    shown = {re.sub(r"_(bucket|sum|count)$", "", name) for name in catalogue()}
    assert shown - asked == {"ingest_append_batch_size", "ingest_backpressure", "ingest_messages_total"}


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
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels())
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert set(cells) == {(x, y) for x in range(24) for y in range(max(y for _, y in cells) + 1)}
