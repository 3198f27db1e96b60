"""The dashboard of devices is what its script makes, and its queries leave it to the role whose rows they show."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from deploy.grafana.device_panels import sql
from deploy.grafana.devices import PATH, dashboard
from deploy.grafana.document import as_json
from tests.support.compose import SERVICES
from tests.support.grafana import cells_of, panels_of, statements, variables_of
from traksense_ingest.shared.sql import statements as statements_of

PROVISIONING = Path(__file__).parents[2] / "deploy" / "grafana" / "provisioning"
BUILT_IN = {"__timeFilter", "__timeFrom", "__timeTo", "__interval_ms"}
GROWING = re.compile(r"FROM (ts_measure|command|device_event|\$source)\b")  # with time

each_statement = pytest.mark.parametrize("name", statements())


def test_the_committed_one_is_what_the_script_makes() -> None:
    assert PATH.read_text() == as_json(dashboard()), "run python -m deploy.grafana.devices"


def test_each_statement_is_asked() -> None:
    assert sorted(statements().values()) == sorted(sql(name) for name in statements_of("deploy.grafana"))


@each_statement
def test_no_query_names_a_tenant_or_a_schema(name: str) -> None:
    query = statements()[name]
    assert not re.search(r"tenant|app\.|public\.|\bSET\b", query)


@each_statement
def test_what_grows_is_read_within_the_time_range(name: str) -> None:
    query = statements()[name]
    assert not GROWING.search(query) or "$__timeFilter(" in query


@each_statement
def test_each_variable_of_a_query_is_one(name: str) -> None:
    """Others, and comments in which Grafana would replace them, would reach the server as they are."""
    query = statements()[name]
    assert set(re.findall(r"\$\{?(\w+)", query)) <= BUILT_IN | variables_of(PATH).keys()
    assert "--" not in query
    assert re.findall(r"\$(?:device|point)\b", query) == re.findall(r"(?<=ANY \(ARRAY\[)\$\w+(?=\]::text\[\]\))", query)


def test_what_may_be_several_is_quoted_by_grafana() -> None:
    """Each value of a `multi` variable is; the other ones are replaced as they are."""
    variables = variables_of(PATH)
    assert {name for name, variable in variables.items() if variable["multi"]} == {"device", "point"}
    assert not variables["source"]["allowCustomValue"]


def test_the_tenant_is_a_data_source() -> None:
    (source,) = yaml.safe_load((PROVISIONING / "datasources" / "tenant.yml").read_text())["datasources"]
    tenant = variables_of(PATH)["tenant"]
    assert (tenant["type"], tenant["query"]) == ("datasource", source["type"])
    assert (tenant["current"]["text"], tenant["current"]["value"]) == (source["name"], source["uid"])
    assert re.search(tenant["regex"].strip("/"), source["name"])
    asking = [panel["datasource"] for panel in panels_of(PATH) if "targets" in panel]
    asking += [target["datasource"] for panel in panels_of(PATH) for target in panel.get("targets", ())]
    asking += [variable["datasource"] for variable in variables_of(PATH).values() if variable["type"] == "query"]
    assert {(one["type"], one["uid"]) for one in asking} == {(source["type"], "${tenant}")}


def test_the_data_source_is_a_reader_of_the_compose_file() -> None:
    (source,) = yaml.safe_load((PROVISIONING / "datasources" / "tenant.yml").read_text())["datasources"]
    roles = (PROVISIONING.parents[1] / "postgres" / "roles.sql").read_text()
    assert f"\\set role {source['user']}\n" in roles
    (password,) = source["secureJsonData"].values()
    assert password.removeprefix("$") in SERVICES["grafana"]["environment"]
    assert source["url"].partition(":")[0] in SERVICES
    assert source["jsonData"]["database"] == SERVICES["timescaledb"]["environment"]["POSTGRES_DB"]


def test_every_panel_is_explained() -> None:
    for panel in panels_of(PATH):
        if panel["type"] != "text":
            assert panel["title"]
            assert panel["description"].endswith(".")


def test_panels_fill_their_rows_and_do_not_overlap() -> None:
    cells = cells_of(panels_of(PATH))
    assert len(cells) == len(set(cells))
    assert set(cells) == {(x, y) for x in range(24) for y in range(max(y for _, y in cells) + 1)}


def test_columns_that_are_shown_in_another_way_are_columns_of_the_query() -> None:
    for panel in panels_of(PATH):
        for override in panel.get("fieldConfig", {}).get("overrides", ()):
            assert re.search(rf"\b{override['matcher']['options']}\b", panel["targets"][0]["rawSql"])


def test_a_device_of_the_list_leads_to_its_own_values() -> None:
    (listed,) = (panel for panel in panels_of(PATH) if "var-device" in str(panel))
    (override,) = (one for one in listed["fieldConfig"]["overrides"] if one["matcher"]["options"] == "device")
    (link,) = override["properties"][0]["value"]
    uid, _, parameters = link["url"].removeprefix("/d/").partition("?")
    assert uid == dashboard().build().uid
    assert parameters == "${tenant:queryparam}&var-device=${__value.raw}"


def test_the_status_of_a_device_with_a_problem_is_not_green() -> None:
    steps = {
        override["matcher"]["options"]: override["properties"][0]["value"]["steps"][-1]["color"]
        for panel in panels_of(PATH)[:1]
        for override in panel["fieldConfig"]["overrides"]
    }
    assert steps == {"offline": "red", "silent": "red", "late": "orange", "online": "green", "clock is wrong": "orange"}
