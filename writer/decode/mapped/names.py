"""What a point's entry makes of a name: whether it is stored, under which name it is stored, and what is done to its
value. Worked out once for each name, since devices repeat theirs."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from traksense_ingest.shared.mapping.points import Many, Point, Value
from traksense_ingest.shared.mapping.text import Names, Template
from traksense_ingest.shared.messages import POINT_NAME_MAX, UNIT_MAX
from traksense_ingest.writer.decode.mapped.scope import Scope, Wrong
from traksense_ingest.writer.decode.mapped.templates import Text, compile_template, key_in
from traksense_ingest.writer.decode.mapped.values import Convert, compile_value, is_plain

KEPT_MAX = 4096  # names of one entry that are remembered

Matches = Callable[[str], bool]
UnitOf = Callable[[Any, Scope], str | None]


class Plan:
    """What is done to the values of one name. Nothing modifies one."""

    __slots__ = ("convert", "is_plain", "name", "unit", "unit_of")

    def __init__(self, name: str, value: ValuePlan, unit: str | None) -> None:
        self.name = name
        self.convert = value.convert
        self.is_plain = value.is_plain  # a finite float is stored as it is
        self.unit = unit
        self.unit_of = value.unit_of  # None: it is `unit`


class ValuePlan:
    """A value's modifiers, compiled."""

    def __init__(self, value: Value) -> None:
        self.convert: Convert = compile_value(value)
        self.is_plain = is_plain(value)
        self.unit, self.unit_of = _unit(value)
        self._by_name = [(compile_names(names), unit) for names, unit in value.units_by_name]

    def unit_for(self, name: str) -> str | None:
        """The unit of a name, where it depends on nothing else."""
        return next((unit for matches, unit in self._by_name if matches(name)), None) or self.unit


class Plans:
    """The plans of an entry's names, by name before `rename`."""

    def __init__(self, point: Point) -> None:
        many = point if isinstance(point, Many) else None
        self._value = ValuePlan(point.value)
        self._include = compile_names(many.include) if many and many.include else None
        self._exclude = compile_names(many.exclude) if many and many.exclude else None
        self._rename = dict(many.rename) if many else {}
        self._overrides = [
            (compile_names(one.names), ValuePlan(one.value), one.rename) for one in (many.overrides if many else ())
        ]
        self.kept: dict[str, Plan] = {}

    def make(self, name: str, seen_as: str | None = None) -> Plan:
        """The plan of a name that is not in `kept`, or UNWANTED. `seen_as` is what `only`, `except` and the others are
        about, where it is another one: a leaf's path. Raises Wrong where it can't be a point's name."""
        plan = self._make(name, name if seen_as is None else seen_as)
        if len(self.kept) < KEPT_MAX:
            self.kept[name if seen_as is None else seen_as] = plan
        return plan

    def _make(self, name: str, seen_as: str) -> Plan:
        if (self._include and not self._include(seen_as)) or (self._exclude and self._exclude(seen_as)):
            return UNWANTED
        value, renamed = self._value, self._rename.get(seen_as)
        for matches, other, rename in self._overrides:
            if matches(seen_as):
                value, renamed = other, rename or renamed
                break
        return Plan(checked_name(renamed or name), value, value.unit_for(seen_as))


def checked_name(name: str) -> str:
    """Raises Wrong where v1 would refuse it too."""
    if not 1 <= len(name) <= POINT_NAME_MAX:
        raise Wrong(f"the point's name should have 1 to {POINT_NAME_MAX} characters, has {len(name)}")
    if "\0" in name:
        raise Wrong("the point's name should not contain the NUL character")
    return name


def with_unit(name: str, unit: str | None) -> str:
    """A name that its unit tells apart from another one; raises Wrong."""
    return checked_name(f"{name}_{unit}") if unit else name


def compile_names(names: Names) -> Matches:
    """Whether a name is one of these."""
    if not names.globs:
        return names.exact.__contains__
    pattern = re.compile("|".join(map(_glob, names.globs)), re.DOTALL)
    return lambda name: name in names.exact or pattern.fullmatch(name) is not None


def _glob(glob: str) -> str:
    """A star is any characters. Without backtracking: what is between two stars is looked for once, left to right."""
    first, *others = glob.split("*")
    if not others:
        return re.escape(first)
    *between, last = others
    middle = "".join(f"(?>.*?{re.escape(text)})" for text in between if text)
    end = f"(?>.{{{len(last)},}}(?<={re.escape(last)}))" if last else ".*"  # not what is before the star once more
    return f"{re.escape(first)}{middle}{end}"


def _unit(value: Value) -> tuple[str | None, UnitOf | None]:
    """A unit that is always the same, or how it is found."""
    template, units = value.unit, dict(value.units)
    if template is None:
        return None, None
    if template.literal is not None:
        return units.get(template.literal, template.literal) or None, None
    return None, _unit_of(template, units)


def _unit_of(template: Template, units: dict[str, str]) -> UnitOf:
    text_of: Text = compile_template(template)
    known: dict[str, str] = {}
    key = key_in(template)

    def unit(item: Any, scope: Scope) -> str | None:
        if key is not None and type(item) is dict and type(text := item.get(key)) is str and text in known:
            return known[text]  # as nearly all of them are
        text = text_of(item, scope)
        found = known.get(text)  # type: ignore[arg-type]
        if found is not None:
            return found
        if type(text) is not str or not (found := _checked_unit(units.get(text, text))):
            return None
        if len(known) < KEPT_MAX:
            known[text] = found
        return found

    return unit


def _checked_unit(unit: str) -> str:
    if len(unit) > UNIT_MAX:
        raise Wrong(f"the unit should have at most {UNIT_MAX} characters, has {len(unit)}")
    if "\0" in unit:
        raise Wrong("the unit should not contain the NUL character")
    return unit


UNWANTED: Final = Plan(
    "", ValuePlan(Value(absent=("",))), None
)  # not plain, so that no value is added before it is seen
