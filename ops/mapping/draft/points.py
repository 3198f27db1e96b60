"""Which values are readings, and which are facts about the device."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from traksense_ingest.ops.mapping.draft.identity import POINT, UNIT_KEYS, VALUE_KEYS, Identity
from traksense_ingest.ops.mapping.draft.samples import Form, Group, Keys, all_fields, is_plain, values_at, words
from traksense_ingest.ops.mapping.draft.times import Time, time_of

_NAME_KEYS = words("name n key tag point sensor sensor_id sensorId channel parameter metric field code id label type")
_META = frozenset(words("fw firmware fwversion firmwareversion hw hwversion sw swversion version model"))

Entry = dict[str, Any]  # an entry of `points`, as it is written


@dataclass(frozen=True, slots=True)
class Readings:
    """The points of a route, and its meta by paths."""

    points: list[Entry]
    meta: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Array:
    """An array of objects with a name and a value each."""

    keys: Keys
    name: str
    value: str
    unit: str | None
    time: Time | None

    def entry(self) -> Entry:
        found: Entry = {"each": f"{'.'.join(self.keys)}[*]", "name": f"{{.{self.name}}}", "value": self.value}
        if self.unit:
            found["unit"] = f"{{.{self.unit}}}"
        if self.time:
            found["time"] = time_entry(self.time)
        return found


def time_entry(time: Time) -> dict[str, Any] | str:
    """`time` of a route or an entry, as it is written."""
    if time.format == "rfc3339" and not time.is_local and time.is_always:
        return time.path
    format_: Any = {"strptime": time.format} if "%" in time.format else time.format
    found: dict[str, Any] = {"path": time.path, "format": format_}
    if time.is_local:
        found["tz"] = "UTC"
    if time.has_zero:
        found["absent"] = [0]
    if not time.is_always:
        found |= {"missing": "received", "received": {"round": "1s"}}
    return found


def readings_of(group: Group, identity: Identity, time: Time | None) -> Readings:
    """Everything that isn't the identity or the time."""
    name = f"{{{POINT}}}" if POINT in identity.captures.values() else None
    match group.form:
        case Form.SCALAR:
            return Readings([{"path": ".", "name": name or "value"}], {})
        case Form.TEXT:
            return Readings([{"path": ".", "name": name or "value", "numbers_in_text": True}], {})
        case Form.SENML:
            entry = {"each": "records[*]", "name": "{.local}", "value": "value", "unit": "{.u}", "time": "time"}
            return Readings([entry], {})
        case _:
            return _of_objects(group, identity, time, name)


def _of_objects(group: Group, identity: Identity, time: Time | None, name: str | None) -> Readings:
    taken = {*identity.fields, *([time.keys] if time else [])}
    if name:
        return Readings([_one_value(group.documents, name)], {})
    if group.form is Form.ARRAY and (array := _array((), [sample.document for sample in group.samples], group)):
        return Readings([array.entry()], {})
    meta = _meta(group.documents, taken)
    arrays = list(_arrays(group)) if group.form is Form.OBJECT else []
    others = [".".join(keys) for keys in sorted({*taken, *meta.values()})]
    leaves: Entry = {"leaves": "."}
    if without := others + [f"{'.'.join(array.keys)}.*" for array in arrays]:
        leaves["except"] = without
    points = [array.entry() for array in arrays]
    if not arrays or _has_more(group.documents, {*taken, *meta.values()}):
        points.append(leaves)
    return Readings(points, {name: ".".join(keys) for name, keys in meta.items()})


def _one_value(documents: Sequence[Any], name: str) -> Entry:
    keys = list(dict.fromkeys(key for document in documents for key in document))
    entry = {"path": _first(keys, VALUE_KEYS) or "value", "name": name}
    unit = _first(keys, UNIT_KEYS)
    return entry | ({"unit": f"{{.{unit}}}"} if unit else {})


def _first(keys: Collection[str], wanted: Sequence[str]) -> str | None:
    by_name = {key.lower(): key for key in keys if is_plain(key)}
    return next((by_name[name.lower()] for name in wanted if name.lower() in by_name), None)


def _meta(documents: Sequence[Any], taken: Collection[Keys]) -> dict[str, Keys]:
    """Facts about the device, such as its firmware: texts under names that say so."""
    found: dict[str, Keys] = {}
    for keys in all_fields(documents):
        is_text = all(isinstance(value, str | None) for value in values_at(documents, keys))
        if keys not in taken and is_text and keys[-1].lower().replace("_", "") in _META:
            found.setdefault(keys[-1], keys)
    return found


def _has_more(documents: Sequence[Any], taken: Collection[Keys]) -> bool:
    return any(keys not in taken for keys in all_fields(documents))


def _arrays(group: Group) -> Iterator[_Array]:
    """Arrays of readings in the object, at most two keys deep."""
    for keys in dict.fromkeys(keys for document in group.documents for keys in _lists(document, ())):
        found = [value for value in values_at(group.documents, keys) if isinstance(value, list)]
        if array := _array(keys, found, group):
            yield array


def _lists(document: Any, before: Keys) -> Iterator[Keys]:
    if isinstance(document, dict):
        for key, value in document.items():
            if not is_plain(key):
                continue
            if isinstance(value, list):
                yield (*before, key)
            elif len(before) < 1:
                yield from _lists(value, (*before, key))


def _array(keys: Keys, arrays: Sequence[list[Any]], group: Group) -> _Array | None:
    items = [item for array in arrays for item in array]
    if not items or not all(isinstance(item, dict) for item in items):
        return None
    common = set.intersection(*({*item} for item in items))
    name = next((key for key in _names(common) if _tells_apart(arrays, key)), None)
    value = _first(common, VALUE_KEYS)
    if name is None or value is None or any(isinstance(item[value], dict | list) for item in items):
        return None
    every = {key for item in items for key in item}
    unit = _first(every, UNIT_KEYS)
    if unit and not all(isinstance(item.get(unit), str | None) for item in items):
        unit = None
    return _Array(keys, name, value, unit, time_of(items, _received(group, arrays)))


def _names(keys: Collection[str]) -> Iterator[str]:
    by_name = {key.lower().replace("_", ""): key for key in keys if is_plain(key)}
    return (found for name in _NAME_KEYS if (found := by_name.get(name.lower().replace("_", ""))))


def _tells_apart(arrays: Sequence[list[Any]], key: str) -> bool:
    """Whether the items of each array have different names."""
    return all(
        all(isinstance(item[key], str | int) and item[key] != "" for item in array)
        and len({str(item[key]) for item in array}) == len(array)
        for array in arrays
    )


def _received(group: Group, arrays: Sequence[list[Any]]) -> list[datetime]:
    latest = max(sample.message.received for sample in group.samples)
    return [latest for array in arrays for _ in array]
