"""OpenTelemetry's metrics in JSON (OTLP 1.x): each data point as a metric with one value, under its resource."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from traksense_ingest.writer.decode.formats.document import (
    NESTING_MAX,
    PREFIX_MAX,
    Document,
    FormatError,
    finite,
    integer_in,
    objects_in,
)
from traksense_ingest.writer.decode.formats.json_text import parse_json

NO_RECORDED_VALUE = 1  # a data point's flag
_KINDS = {"gauge": "gauge", "sum": "sum", "histogram": "histogram"} | {
    "exponentialHistogram": "exponential_histogram",
    "summary": "summary",
}
_STATISTICS = ("count", "sum", "min", "max")  # of a histogram or a summary
_NOT_NUMBERS = {"NaN", "Infinity", "-Infinity"}


def parse_otlp(payload: bytes, _received: datetime) -> Document:
    """`resources`, each with its attributes and metrics. A histogram or summary becomes a metric for each statistic:
    `name.count`, `name.sum`, `name.min`, `name.max`, and of a summary `name.q0.99`; buckets are left out."""
    document = parse_json(payload)
    if not isinstance(document, dict) or not isinstance(document.get("resourceMetrics"), list):
        raise FormatError("payload", "Input should be an object with an array resourceMetrics")
    places = enumerate(objects_in(document["resourceMetrics"], "resourceMetrics"))
    return {"resources": [_resource(item, f"resourceMetrics[{index}]") for index, item in places]}


def _resource(item: dict[str, Any], where: str) -> dict[str, Any]:
    resource = _object(item.get("resource"), f"{where}.resource")
    return {
        "attributes": _attributes(resource.get("attributes"), f"{where}.resource.attributes"),
        "metrics": [*_metrics(item, where)],
    }


def _metrics(item: dict[str, Any], where: str) -> Iterator[dict[str, Any]]:
    for index, scope in enumerate(objects_in(item.get("scopeMetrics"), f"{where}.scopeMetrics")):
        place = f"{where}.scopeMetrics[{index}].metrics"
        for number, metric in enumerate(objects_in(scope.get("metrics"), place)):
            yield from _points(metric, f"{place}[{number}]")


def _points(metric: dict[str, Any], where: str) -> Iterator[dict[str, Any]]:
    for key, content in metric.items():
        if kind := _KINDS.get(key):
            data = _object(content, f"{where}.{key}")
            place = f"{where}.{key}.dataPoints"
            for index, point in enumerate(objects_in(data.get("dataPoints"), place)):
                common = _common(metric, point, kind, f"{place}[{index}]")
                for suffix, value in _values(point, kind, f"{place}[{index}]"):
                    yield common | {"name": f"{common['name']}{suffix}", "value": value}


def _common(metric: dict[str, Any], point: dict[str, Any], kind: str, where: str) -> dict[str, Any]:
    name, unit = metric.get("name"), metric.get("unit", "")
    if not isinstance(name, str) or not isinstance(unit, str):
        raise FormatError(where, "the metric's name and unit should be strings")
    if len(name) > PREFIX_MAX:
        raise FormatError(where, f"the metric's name has {len(name)} characters, at most {PREFIX_MAX} are allowed")
    common: dict[str, Any] = {
        "name": name,
        "kind": kind,
        "attributes": _attributes(point.get("attributes"), f"{where}.attributes"),
    }
    if unit:
        common["unit"] = unit
    if time := _integer(point.get("timeUnixNano", 0), f"{where}.timeUnixNano"):
        common["time"] = time
    return common


def _values(point: dict[str, Any], kind: str, where: str) -> Iterator[tuple[str, Any]]:
    """A suffix of the name, and the value."""
    if kind in ("gauge", "sum"):
        yield "", _number(point, where)
        return
    for name in _STATISTICS:
        if name in point:
            read = _integer if name == "count" else _double
            yield f".{name}", read(point[name], f"{where}.{name}")
    for quantile in objects_in(point.get("quantileValues"), f"{where}.quantileValues"):
        place = f"{where}.quantileValues"
        yield f".q{_double(quantile.get('quantile', 0), place)}", _double(quantile.get("value", 0), place)


def _number(point: dict[str, Any], where: str) -> int | float | None:
    """None where nothing was recorded."""
    if _integer(point.get("flags", 0), f"{where}.flags") & NO_RECORDED_VALUE:
        return None
    if "asInt" in point:
        return _integer(point["asInt"], f"{where}.asInt")
    return _double(point["asDouble"], f"{where}.asDouble") if "asDouble" in point else None


def _integer(value: Any, where: str) -> int:
    """64-bit ones are strings in protobuf's JSON, and some senders write numbers."""
    if isinstance(value, str):
        return integer_in(value, where)
    if not isinstance(value, int) or isinstance(value, bool):
        raise FormatError(where, "Input should be a 64-bit integer")
    return value


def _double(value: Any, where: str) -> int | float | None:
    if isinstance(value, str) and value in _NOT_NUMBERS:
        return finite(float(value), where)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise FormatError(where, "Input should be a number")
    return value


def _object(value: Any, where: str) -> dict[str, Any]:
    if value is not None and not isinstance(value, dict):
        raise FormatError(where, "Input should be an object")
    return value or {}


def _attributes(pairs: Any, where: str, depth: int = 0) -> dict[str, Any]:
    """A list of keys and values as an object."""
    found = {}
    for index, pair in enumerate(objects_in(pairs, where)):
        if not isinstance(key := pair.get("key"), str):
            raise FormatError(f"{where}[{index}].key", "Input should be a string")
        found[key] = _any_value(pair.get("value"), f"{where}[{index}].value", depth)
    return found


def _any_value(value: Any, where: str, depth: int) -> Any:
    """The one alternative that an AnyValue has."""
    if depth > NESTING_MAX:
        raise FormatError("payload", f"attributes are nested more than {NESTING_MAX} deep")
    for kind, content in _object(value, where).items():
        match kind:
            case "stringValue" | "bytesValue" | "boolValue":
                return _plain(content, kind, where)
            case "intValue":
                return _integer(content, where)
            case "doubleValue":
                return _double(content, where)
            case "arrayValue":
                items = objects_in(_object(content, where).get("values"), where)
                return [_any_value(item, where, depth + 1) for item in items]
            case "kvlistValue":
                return _attributes(_object(content, where).get("values"), where, depth + 1)
    return None


def _plain(content: Any, kind: str, where: str) -> str | bool:
    expected = bool if kind == "boolValue" else str
    if not isinstance(content, expected):
        raise FormatError(where, f"Input should be a {'boolean' if expected is bool else 'string'}")
    return content
