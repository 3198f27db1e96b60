"""From a name and a value to a reading: what all kinds of entries of `points` do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from sys import float_info
from typing import Any

from traksense_ingest.shared.mapping.points import Point, TimeRule
from traksense_ingest.shared.mapping.text import Path
from traksense_ingest.writer.decode.mapped.conditions import compile_conditions
from traksense_ingest.writer.decode.mapped.names import Plan, Plans, with_unit
from traksense_ingest.writer.decode.mapped.scope import ROWS_MAX, Scope, Wrong
from traksense_ingest.writer.decode.mapped.templates import NoText, Text, compile_template
from traksense_ingest.writer.decode.mapped.times import Moment
from traksense_ingest.writer.decode.mapped.wording import in_words
from traksense_ingest.writer.decode.measures import Reading

Readings = dict[str, Reading]
Add = Callable[[Any, Scope, Readings], None]  # what an entry does; raises Poison, and Wrong that says where
CompileTime = Callable[[TimeRule], Moment]

LARGEST = float_info.max


class Adder:
    """What all kinds of entries have: from a name and a value to a reading."""

    def __init__(self, point: Point, compile_time: CompileTime) -> None:
        self.plans = Plans(point)
        self.name: Text = compile_template(point.name)
        self.only = compile_conditions(point.only)
        self.required = point.required
        self.moment = compile_time(point.time) if point.time else None
        self.is_distinct = point.distinct_by_unit
        self.where = point.where

    def plan(self, name: str | NoText) -> Plan:
        """What is done to the values of a name; raises Wrong for a name that is not valid."""
        if isinstance(name, NoText):
            raise Wrong(f"{name.why}, and is the point's name ({self.where}.name)")
        return self.plans.kept.get(name) or self.plans.make(name)

    def add(self, plan: Plan, value: Any, item: Any, scope: Scope, readings: Readings) -> None:
        """Add the reading of a value; nothing where there is none."""
        columns = plan.convert(value)
        if columns is None:
            return
        unit = plan.unit if plan.unit_of is None else plan.unit_of(item, scope)
        name = with_unit(plan.name, unit) if self.is_distinct else plan.name
        reading = (name, *columns, unit)
        if self.moment is not None:
            readings = self.group_of(item, scope)
        if name in readings:
            scope.again(reading, readings[name])
        else:
            readings[name] = reading

    def group_of(self, item: Any, scope: Scope) -> Readings:
        """The readings at an item's own time."""
        assert self.moment is not None  # noqa: S101  (the caller's promise)
        ts = self.moment(item, scope)
        scope.own_times += 1
        if scope.own_times > ROWS_MAX:
            scope.take_rows(scope.own_times)
        group = scope.groups.get(ts)  # type: ignore[arg-type]
        return scope.groups.setdefault(_required(ts), {}) if group is None else group

    def skip_missing(self) -> None:
        """Raise Wrong where a value that is missing is required."""
        if self.required:
            raise Wrong("is missing, and is required")

    def check_not_empty(self, has_items: bool, each: Path) -> None:
        """Raise Wrong where there are no items, and the point is required."""
        if self.required and not has_items:
            raise Wrong("has no items, and is required", below=in_words(each))


def _required(ts: datetime | None) -> datetime:
    if ts is None:
        raise Wrong("there is no time")
    return ts
