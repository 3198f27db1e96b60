"""OpenTelemetry's metrics in JSON: each data point is a metric with one value."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.formats import check_plain, decoded, refused
from traksense_ingest.writer.decode.formats import FormatError


def encoded(*metrics: Any, attributes: Any = ()) -> bytes:
    scope = {"metrics": [{"name": "m", "unit": "1", **metric} for metric in metrics]}
    resource = {"resource": {"attributes": [*attributes]}, "scopeMetrics": [scope]}
    return json.dumps({"resourceMetrics": [resource]}).encode()


def points(**metric: Any) -> list[tuple[str, Any]]:
    (resource,) = decoded("otlp_json", encoded(metric))["resources"]
    return [(found["name"], found["value"]) for found in resource["metrics"]]


def gauge(**point: Any) -> Any:
    """The only metric of a point."""
    (resource,) = decoded("otlp_json", encoded({"gauge": {"dataPoints": [point]}}))["resources"]
    return resource["metrics"][0]


def test_a_data_point() -> None:
    point = {"timeUnixNano": "1795881600250000999", "asInt": "-9007199254740993"}
    attributes = [{"key": "zone", "value": {"stringValue": "a"}}]
    assert gauge(**point, attributes=attributes) == {
        "name": "m",
        "unit": "1",
        "kind": "gauge",
        "time": 1795881600250000999,
        "value": -9007199254740993,
        "attributes": {"zone": "a"},
    }


@pytest.mark.parametrize(
    ("point", "value"),
    [
        ({"asDouble": 21.5}, 21.5),
        ({"asDouble": 21}, 21),
        ({"asDouble": "NaN"}, None),
        ({"asInt": 7}, 7),
        ({"asInt": "7", "flags": 1}, None),
        ({"asInt": "7", "flags": 2}, 7),
        ({}, None),
    ],
)
def test_values(point: Any, value: Any) -> None:
    assert gauge(**point)["value"] == value


@pytest.mark.parametrize("time", ["0", 0, None])
def test_a_point_without_a_time(time: Any) -> None:
    point = {"asInt": "1"} | ({} if time is None else {"timeUnixNano": time})
    assert "time" not in gauge(**point)


def test_a_histogram_is_its_statistics() -> None:
    point = {"count": "4", "sum": 9.5, "min": 1, "max": 5.5, "bucketCounts": ["1", "3"], "explicitBounds": [2]}
    expected = [("m.count", 4), ("m.sum", 9.5), ("m.min", 1), ("m.max", 5.5)]
    assert points(histogram={"dataPoints": [point]}) == expected
    assert points(exponentialHistogram={"dataPoints": [point]}) == expected
    quantiles = [{"quantile": 0.5, "value": 2.0}, {"quantile": 0.99, "value": 5}]
    assert points(summary={"dataPoints": [{"count": "4", "sum": 9.5, "quantileValues": quantiles}]}) == [
        *(("m.count", 4), ("m.sum", 9.5), ("m.q0.5", 2.0), ("m.q0.99", 5)),
    ]
    assert points(sum={"dataPoints": [{"asInt": "1"}, {"asInt": "2"}]}) == [("m", 1), ("m", 2)]


def test_attributes_of_each_kind() -> None:
    nested = {"arrayValue": {"values": [{"intValue": "1"}, {"doubleValue": 1.5}, {"boolValue": True}, {}]}}
    pairs = [
        {"key": "device.id", "value": {"stringValue": "hvac-3"}},
        {"key": "list", "value": nested},
        {"key": "map", "value": {"kvlistValue": {"values": [{"key": "a", "value": {"bytesValue": "aGk="}}]}}},
        {"key": "none"},
    ]
    (resource,) = decoded("otlp_json", encoded(attributes=pairs))["resources"]
    assert resource["attributes"] == {
        "device.id": "hvac-3",
        "list": [1, 1.5, True, None],
        "map": {"a": "aGk="},
        "none": None,
    }


def point_of(**point: Any) -> bytes:
    return encoded({"gauge": {"dataPoints": [point]}})


POINT = "resourceMetrics[0].scopeMetrics[0].metrics[0].gauge.dataPoints"


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"[]", "payload: Input should be an object with an array resourceMetrics"),
        (b"{}", "payload: Input should be an object with an array resourceMetrics"),
        (b'{"resourceMetrics":[7]}', "resourceMetrics[0]: Input should be an object"),
        (b'{"resourceMetrics":[{"resource":7}]}', "resourceMetrics[0].resource: Input should be an object"),
        (encoded({"gauge": {"dataPoints": {}}}), f"{POINT}: Input should be an array"),
        (point_of(asInt="1x"), f"{POINT}[0].asInt: Input should be a 64-bit integer"),
        (point_of(asInt="9" * 5000), f"{POINT}[0].asInt: Input should be a 64-bit integer"),
        (point_of(asInt=1.5), f"{POINT}[0].asInt: Input should be a 64-bit integer"),
        (point_of(asDouble="1"), f"{POINT}[0].asDouble: Input should be a number"),
        (point_of(asDouble="Infinity"), f"{POINT}[0].asDouble: Input should be a finite number"),
        (point_of(timeUnixNano="now"), f"{POINT}[0].timeUnixNano: Input should be a 64-bit integer"),
        (
            encoded({"name": "a" * 513, "gauge": {"dataPoints": [{}]}}),
            f"{POINT}[0]: the metric's name has 513 characters",
        ),
        (encoded({"name": 7, "gauge": {"dataPoints": [{}]}}), f"{POINT}[0]: the metric's name and unit should be"),
        (encoded(attributes=[{"key": 1}]), "resourceMetrics[0].resource.attributes[0].key: Input should be a string"),
        (
            encoded(attributes=[{"key": "a", "value": {"boolValue": 1}}]),
            "resourceMetrics[0].resource.attributes[0].value: Input should be a boolean",
        ),
    ],
)
def test_what_is_wrong(payload: bytes, reason: str) -> None:
    assert refused("otlp_json", payload).startswith(f"parse_error: {reason}")


def test_attributes_nested_without_end() -> None:
    value: Any = {"stringValue": "a"}
    for _ in range(100):
        value = {"arrayValue": {"values": [value]}}
    assert "nested more than 64 deep" in refused("otlp_json", encoded(attributes=[{"key": "a", "value": value}]))


words = st.sampled_from(
    ["asInt", "asDouble", "timeUnixNano", "flags", "attributes", "key", "value", "dataPoints", "count"]
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(["gauge", "sum", "histogram", "summary", "name", "unit"]), anything)
def test_any_metric(kind: str, content: Any) -> None:
    with suppress(FormatError):
        check_plain(decoded("otlp_json", encoded({kind: content})))
