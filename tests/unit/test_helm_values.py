"""The chart's values: explained, described by a schema, and in agreement with the rest of the project."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import jsonschema  # type: ignore[import-untyped] # comes with kubernetes-validate
import pytest
import yaml

from deploy.helm.render import CHART, HERE
from tests.support.manifests import SCHEMA, VALUES
from traksense_ingest.shared.config import Settings
from traksense_ingest.writer.service import LANES

TEXT = (CHART / "values.yaml").read_text()
OTHERS = sorted([*(CHART / "ci").glob("*.yaml"), *HERE.glob("plain*.yaml")])


def paths(values: Any, schema: Any, path: str = "") -> Iterator[tuple[str, bool]]:
    """Each key of the values that the schema should have, and whether it has it."""
    for key, value in values.items():
        inner = schema.get("properties", {}).get(key)
        yield f"{path}{key}", inner is not None
        if isinstance(value, dict) and inner and "properties" in inner:
            yield from paths(value, inner, f"{path}{key}.")


def test_the_values_fit_the_schema() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    jsonschema.validate(VALUES, SCHEMA)
    assert [path for path, is_there in paths(VALUES, SCHEMA) if not is_there] == []


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: path.stem)
def test_other_values_fit_the_schema(path: Any) -> None:
    jsonschema.validate(yaml.safe_load(path.read_text()), SCHEMA)


def test_the_schema_has_nothing_without_a_default() -> None:
    named = {path for path, _ in paths(SCHEMA["properties"], {})} - {"global"}  # which Helm sets in a subchart
    assert named == set(VALUES)


@pytest.mark.parametrize(
    "values",
    [
        {"receivers": {}},
        {"receiver": {"replicas": "2"}},
        {"config": {"variables": {"MQTT_PASSWORD": "secret"}}},
        {"config": {"variables": {"DATABASE_URL": "postgresql://u:p@db/traksense"}}},
        {"config": {"variables": {"REDIS_URL": "redis://:p@redis"}}},
        {"config": {"variables": {"MQTT_CLIENT_ID": "one for all"}}},
        {"config": {"variables": {"METRICS_PORT": "9200"}}},
        {"mappings": {"files": {"machines.yml": "not read"}}},
        {"toolbox": {"replicas": 2}},
        {"writer": {"autoscaling": {"trigger": "lag"}}},
        {"writer": {"autoscaling": {"redis": {"address": "redis://:secret@redis:6379"}}}},
        {"image": {"pullPolicy": "Sometimes"}},
    ],
    ids=str,
)
def test_what_the_schema_refuses(values: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(values, SCHEMA)


def test_every_variable_that_is_no_secret_may_be_given() -> None:
    kept_out = {"MQTT_CLIENT_ID", "MQTT_PASSWORD", "METRICS_PORT"}
    kept_out |= {"REDIS_URL", "DATABASE_URL", "MIGRATE_DATABASE_URL"}
    for name in map(str.upper, Settings.model_fields):
        given = {"config": {"variables": {name: "1"}}}
        assert jsonschema.Draft7Validator(SCHEMA).is_valid(given) == (name not in kept_out), name


def test_each_value_has_a_comment() -> None:
    """On its line, above it, or above the group that it opens."""
    lines = TEXT.splitlines()
    uncommented = [
        line.strip()
        for before, line in pairwise(lines)
        if re.match(r" *[\w-]+:", line)
        and "#" not in line
        and not before.strip().startswith("#")
        and not re.fullmatch(r" *[\w-]+:", line)
    ]
    assert uncommented == []


def test_the_default_is_what_postgresql_can_bear() -> None:
    writer = VALUES["writer"]
    each = LANES * int(VALUES["config"]["variables"]["INGEST_SHARDS"]) + 3
    most = max(writer["replicas"], writer["autoscaling"]["maxReplicas"])
    assert (most + 1) * each <= writer["databaseConnections"] < 100
    assert Settings.model_fields["db_pool_max"].default == 8  # as the template has it


def test_the_figures_of_autoscaling_are_those_of_the_documentation() -> None:
    scaling = (HERE.parents[1] / "docs" / "scaling.md").read_text()
    (core,) = re.findall(r"^\| writer \| .* \| (\d+) 000 points/s \|$", scaling, re.MULTILINE)
    autoscaling = VALUES["writer"]["autoscaling"]
    assert autoscaling["prometheus"]["messagesPerWriter"] == int(core) * 1000 / 10 / 2 * 0.5
    assert VALUES["writer"]["resources"]["requests"]["cpu"] == "500m"
    assert autoscaling["redis"]["entriesPerWriter"] * 10 == Settings.model_fields["ingest_queue_max"].default
    receiver = VALUES["receiver"]
    assert receiver["autoscaling"]["scaleDownPeriodSeconds"] > receiver["terminationGracePeriodSeconds"]
