"""What is done to a value, parsed: units, tables, arithmetic."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, cast, get_args

from traksense_ingest.shared.mapping.faults import quoted
from traksense_ingest.shared.mapping.points import Else, Override, Value
from traksense_ingest.shared.mapping.read.cursor import Cursor, Keys
from traksense_ingest.shared.mapping.read.paths import template_up_to
from traksense_ingest.shared.mapping.read.values import scalar_table, scalars, text_table
from traksense_ingest.shared.mapping.text import Names
from traksense_ingest.shared.messages import UNIT_MAX

VALUE_KEYS = (
    "unit",
    "units",
    "type",
    "divide",
    "scale",
    "offset",
    "map",
    "else",
    "numbers_in_text",
    "bools",
    "null",
    "absent",
)

ValueType = Literal["number", "bool", "text"]
NullIs = Literal["row", "skip"]


def value(keys: Keys, base: Value | None = None) -> Value:
    """The modifiers of an entry; what it doesn't say is as in `base`."""
    said: dict[str, Any] = {}
    if at := keys.get("unit"):
        said |= {"unit": template_up_to(UNIT_MAX)(at), "units": (), "units_by_name": ()}
    for key in ("divide", "scale", "offset"):
        if at := keys.get(key):
            said[key] = at.decimal()
    if at := keys.get("type"):
        said["type"] = cast(ValueType, at.one_of(get_args(ValueType)))
    if at := keys.get("null"):
        said["null"] = cast(NullIs, at.one_of(get_args(NullIs)))
    if at := keys.get("numbers_in_text"):
        said["numbers_in_text"] = at.flag()
    if at := keys.get("absent"):
        said["absent"] = scalars(at)
    found = replace(base or Value(), **(said | _units(keys) | _tables(keys)))
    _check(keys, found)
    return found


def overrides(at: Cursor, base: Value) -> tuple[Override, ...]:
    """`{name: what is different}`, where a name may have a `*`."""
    found = []
    for key, inside in at.table("names and what is different, such as {temperature: {unit: °C}}"):
        keys = inside.keys("rename", *VALUE_KEYS)
        name = key.text("a name")
        names = Names(globs=(name,)) if "*" in name else Names(frozenset([name]))
        found.append(Override(names, value(keys, base), keys.read("rename", Cursor.text, None)))
    return tuple(found)


def _units(keys: Keys) -> dict[str, Any]:
    """`units` translate what `unit` gives; without a `unit` they are by the names of the points."""
    at = keys.get("units")
    if at is None:
        return {}
    table = text_table(at)
    if "unit" in keys:
        return {"units": table}
    by_name = tuple((Names(globs=(name,)) if "*" in name else Names(frozenset([name])), unit) for name, unit in table)
    return {"units_by_name": by_name}


def _tables(keys: Keys) -> dict[str, Any]:
    said: dict[str, Any] = {}
    if at := keys.get("map"):
        said["map"] = scalar_table(at, Cursor.scalar)
    if at := keys.get("else"):
        said["otherwise"] = at.choice(Else)
        if "map" not in keys:
            at.fault("only together with `map`")
    if at := keys.get("bools"):
        words = at.keys("true", "false", what="words, such as {true: [on], false: [off]}")
        for name in ("true", "false"):
            said[f"{name}_words"] = words.read(name, _words, frozenset())
    return said


def _words(at: Cursor) -> frozenset[str]:
    return frozenset(item.text("a word").lower() for item in at.one_or_more())


def _check(keys: Keys, found: Value) -> None:
    if "divide" in keys and found.divide == 0:
        keys.found["divide"].fault("division by 0")
    if both := found.true_words & found.false_words:
        keys.at.fault(f"{quoted(min(both))} can't be both true and false")
