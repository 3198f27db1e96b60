"""`points`, parsed: an entry is one path, each item, all leaves, arrays side by side, or cases."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from traksense_ingest.shared.mapping.points import (
    AnyPoint,
    Case,
    CasesPoint,
    Condition,
    EachPoint,
    LeavesPoint,
    PathPoint,
    ZipPoint,
)
from traksense_ingest.shared.mapping.read.cursor import Cursor, Keys
from traksense_ingest.shared.mapping.read.modifiers import VALUE_KEYS, overrides, value
from traksense_ingest.shared.mapping.read.paths import (
    NAME,
    NOWHERE,
    names,
    path,
    path_of,
    path_to_one,
    template_of,
    template_up_to,
)
from traksense_ingest.shared.mapping.read.values import conditions, text_table, time_rule
from traksense_ingest.shared.mapping.text import Each, Index, Key, Names, Over, Path, Template
from traksense_ingest.shared.messages import POINT_NAME_MAX

_KINDS = ("path", "each", "leaves", "zip", "cases")
_COMMON = ("name", "only", "required", "time", "distinct_by", *VALUE_KEYS)
_OF_MANY = ("except", "rename", "override")
_KEYS = {
    "path": ("path", *_COMMON),
    "each": ("each", "value", *_OF_MANY, *_COMMON),
    "leaves": ("leaves", *_OF_MANY, *_COMMON),
    "zip": ("zip", "value", *_OF_MANY, *_COMMON),
    "cases": ("cases", *_COMMON),
}

KEYS = tuple(dict.fromkeys(key for keys in _KEYS.values() for key in keys))


@dataclass(frozen=True, slots=True)
class PointReader:
    """Reads entries of `points`; `distinct_by_unit` is what the route says."""

    distinct_by_unit: bool = False

    def point(self, at: Cursor) -> AnyPoint | None:
        """One entry; None where it can't be known what it is."""
        kind = _kind(at)
        if kind is None:
            return None
        keys = at.keys(*_KEYS[kind])
        match kind:
            case "path":
                return _path_point(keys, self._common(keys))
            case "each":
                return _each_point(keys, self._common(keys))
            case "zip":
                return _zip_point(keys, self._common(keys))
            case "leaves":
                return _leaves_point(keys, self._common(keys))
            case _:
                return _cases_point(keys, self._common(keys))

    def _common(self, keys: Keys) -> dict[str, Any]:
        at = keys.get("only")
        return {
            "place": keys.at.place,
            "where": keys.at.where,
            "name": keys.read("name", template_up_to(POINT_NAME_MAX), None),
            "value": value(keys),
            "only": conditions(at) if at and at.is_object else (),
            "required": keys.read("required", Cursor.flag, False),
            "time": keys.read("time", time_rule, None),
            "distinct_by_unit": keys.read("distinct_by", distinct_by, self.distinct_by_unit),
        }


def distinct_by(at: Cursor) -> bool:
    """`distinct_by: unit`."""
    return at.one_of(["unit"]) == "unit"


def _kind(at: Cursor) -> str | None:
    found = [key.written for key, _ in at.table("an entry such as {path: temperature}")] if at.is_object else []
    kinds = [kind for kind in _KINDS if kind in found]
    if len(kinds) == 1:
        return kinds[0]
    if not at.is_object:
        at.expected("an entry such as {path: temperature}")
    elif kinds:
        at.fault(f"{' and '.join(kinds)} can't be together; an entry has one of {', '.join(_KINDS)}")
    else:
        at.keys(*KEYS)
        at.fault(f"one of {', '.join(_KINDS)} is missing")
    return None


def _path_point(keys: Keys, common: dict[str, Any]) -> PathPoint:
    _refuse_names(keys)
    found = path_to_one(keys.found["path"])
    return PathPoint(**(common | {"name": common["name"] or _last_key(keys, found)}), path=found)


def _last_key(keys: Keys, found: Path) -> Template:
    key = next((step.name for step in reversed(found.steps) if isinstance(step, Key)), None)
    if key is None or (found.steps and isinstance(found.steps[-1], Index)):
        keys.required("name", f"the path {found.text} does not end in a key, which would be the name")
        return Template("", ("",))
    return Template(key, (key,))


def _each_point(keys: Keys, common: dict[str, Any]) -> EachPoint:
    each = path(keys.found["each"])
    if not each.is_many:
        each = replace(each, steps=(*each.steps, Each(Over.ANY)))
    name = common["name"] or template_of("{key}")
    item = keys.read("value", path_to_one, NOWHERE)
    return EachPoint(**(common | {"name": name}), **_many(keys, common), each=each, path=item)


def _zip_point(keys: Keys, common: dict[str, Any]) -> ZipPoint:
    arrays = tuple(
        (key.matching(NAME, "a key of letters, digits and _"), _array(at)) for key, at in keys.found["zip"].table()
    )
    known = [key for key, _ in arrays]
    if not arrays and keys.found["zip"].is_object:
        keys.found["zip"].fault("expected arrays such as {name: names, value: values}, found none")
    if "value" not in known and "value" not in keys and arrays:
        keys.required("value", "a path in the item, since no array is called value")
    if "unit" in known and common["value"].unit is None:
        common["value"] = replace(common["value"], unit=template_of("{.unit}"), units_by_name=())
        common["value"] = replace(common["value"], units=keys.read("units", text_table, ()))
    name = common["name"] or template_of("{.name}" if "name" in known else "{key}")
    item = keys.read("value", path_to_one, path_of("value"))
    return ZipPoint(**(common | {"name": name}), **_many(keys, common), arrays=arrays, path=item)


def _array(at: Cursor) -> Path:
    """`names[*]` and `names` are the same here."""
    found = path(at)
    if found.steps and found.steps[-1] == Each(Over.ITEMS):
        found = replace(found, steps=found.steps[:-1])
    if found.is_many:
        at.fault(f"{found.text} leads through several arrays; expected one")
    return found


def _leaves_point(keys: Keys, common: dict[str, Any]) -> LeavesPoint:
    leaves = path(keys.found["leaves"])
    name = common["name"] or template_of("{leaf}")
    return LeavesPoint(**(common | {"name": name}), **_many(keys, common), leaves=leaves)


def _many(keys: Keys, common: dict[str, Any]) -> dict[str, Any]:
    only = keys.get("only")
    return {
        "include": names(only) if only and not only.is_object else Names(),
        "exclude": keys.read("except", names, Names()),
        "rename": keys.read("rename", text_table, ()),
        "overrides": keys.read("override", lambda at: overrides(at, common["value"]), ()),
    }


def _cases_point(keys: Keys, common: dict[str, Any]) -> CasesPoint:
    _refuse_names(keys)
    if common["name"] is None:
        keys.required("name", "the point's name")
    cases = tuple(_case(item) for item in keys.found["cases"].items("a list of cases"))
    for item, case in list(zip(keys.found["cases"].items(), cases, strict=False))[:-1]:
        if not case.when:
            item.fault("a case without `when` always fits, so that those after it never do")
    return CasesPoint(**(common | {"name": common["name"] or Template("", ("",))}), cases=cases)


def _case(at: Cursor) -> Case:
    keys = at.keys("when", "value", "path", what="a case such as {when: {a: 1}, value: on}")
    when: tuple[Condition, ...] = keys.read("when", conditions, ())
    if keys.only_one("value", "path") == "path":
        return Case(when, path_to_one(keys.found["path"]))
    return Case(when, None, keys.read("value", Cursor.scalar, None))


def _refuse_names(keys: Keys) -> None:
    """`only` with names is for entries that make several points."""
    if (only := keys.get("only")) and not only.is_object:
        only.expected("conditions such as {type: up}")
