"""`leaves`, compiled: every scalar below a path, by its dotted path. Without recursion, however deep a payload is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from traksense_ingest.shared.mapping.points import LeavesPoint
from traksense_ingest.shared.mapping.text import LEAF, Key, Names
from traksense_ingest.writer.decode.mapped.adder import LARGEST, Add, Adder, Readings
from traksense_ingest.writer.decode.mapped.names import UNWANTED, Matches, Plan, compile_names
from traksense_ingest.writer.decode.mapped.paths import Items, compile_path
from traksense_ingest.writer.decode.mapped.scope import MISSING, Scope, Wrong
from traksense_ingest.writer.decode.mapped.templates import names_captured, reads_payload
from traksense_ingest.writer.decode.mapped.wording import in_words, printable

PATH_MAX = 4096  # characters of a dotted path: no name is as long, and each leaf has a copy of its own


def compile_leaves(point: LeavesPoint, adder: Adder) -> Add:
    """What the leaves below a path add to a record's readings."""
    walker = _Walker(point, adder)
    where = in_words(point.leaves)
    if point.leaves.is_many:
        return _of_many(Items(point.leaves, keeps_key=True), walker, adder, where)
    get = compile_path(point.leaves)

    def add(record: Any, scope: Scope, readings: Readings) -> None:
        value = get(record, scope)
        if adder.only is not None and not adder.only(record, scope):
            return
        if value is MISSING:
            if adder.required:
                raise Wrong("is missing, and is required", below=where)
            return
        if value is not None:
            walker.walk(value, record, scope, readings)

    return add


def _of_many(items: Items, walker: _Walker, adder: Adder, where: str) -> Add:
    def add(record: Any, scope: Scope, readings: Readings) -> None:
        if adder.only is not None and not adder.only(record, scope):
            return
        is_empty = True
        for _, value in items.of(record, scope):
            if type(value) in (dict, list):
                is_empty = False
                walker.walk(value, record, scope, readings)
        if is_empty and adder.required:
            raise Wrong("is missing, and is required", below=where)

    return add


class _Walker:
    """Goes through what is below a value, in the order of the payload."""

    def __init__(self, point: LeavesPoint, adder: Adder) -> None:
        self._adder = adder
        self._kept = adder.plans.kept
        self._is_leaf = point.name.text == "{leaf}"
        self._is_fixed = not reads_payload(point.name) and names_captured(point.name) <= {LEAF}
        self._excludes_all = _below(point.exclude)
        self._alone = next((step.name for step in reversed(point.leaves.steps) if isinstance(step, Key)), "value")
        self._is_simple = self._is_fixed and not adder.is_distinct and adder.moment is None
        self._where = in_words(point.leaves)

    def walk(self, value: Any, record: Any, scope: Scope, readings: Readings) -> None:
        """Add each leaf. A scalar is its own only leaf, by the last key of the path."""
        inside = _inside(value, scope)
        path, kept, is_simple = self._alone, self._kept, self._is_simple
        try:
            if inside is None:
                self._add(path, value, record, scope, readings)
                return
            stack = [("", inside)]
            while stack:
                prefix, members = stack[-1]
                for key, member in members:
                    path = prefix + key
                    kind = type(member)
                    if (
                        kind is float
                        and is_simple
                        and (plan := kept.get(path)) is not None
                        and plan.is_plain
                        and plan.unit_of is None
                        and plan.name not in readings
                        and -LARGEST <= member <= LARGEST
                    ):
                        readings[plan.name] = (plan.name, member, None, None, plan.unit)
                        continue
                    if (kind is dict or kind is list) and (deeper := self._inside(path, member, scope)) is not None:
                        stack.append((f"{path}.", deeper))
                        break
                    if kind is not dict and kind is not list:
                        self._add(path, member, record, scope, readings)
                else:
                    stack.pop()
        except Wrong as wrong:
            wrong.below = wrong.below or self._place(path)
            raise

    def _inside(self, path: str, value: Any, scope: Scope) -> Iterator[tuple[str, Any]] | None:
        """What is in an object or an array, unless it is excluded as a whole."""
        if len(path) > PATH_MAX:
            raise Wrong(f"a path of more than {PATH_MAX} characters", below=self._where)
        if self._excludes_all is not None and self._excludes_all(path):
            return None
        return _inside(value, scope)

    def _add(self, path: str, value: Any, record: Any, scope: Scope, readings: Readings) -> None:
        plan = self._plan(path, record, scope)
        if plan is not UNWANTED:
            self._adder.add(plan, value, record, scope, readings)

    def _plan(self, path: str, record: Any, scope: Scope) -> Plan:
        if self._is_fixed and (known := self._kept.get(path)) is not None:
            return known
        if self._is_leaf:
            return self._adder.plans.make(path, path)
        scope.captures[LEAF] = path
        name = self._adder.name(record, scope)
        if not isinstance(name, str):
            raise Wrong(f"{name.why}, and is the point's name ({self._adder.where}.name)")
        return self._adder.plans.make(name, path)

    def _place(self, path: str) -> str:
        return printable(path) if self._where == "payload" else f"{self._where}.{printable(path)}"


def _below(exclude: Names) -> Matches | None:
    """Whether everything in an object or an array is excluded: it is by its own name, and by a star at the end."""
    if not exclude:
        return None
    matches = compile_names(Names(exclude.exact, tuple(glob for glob in exclude.globs if glob.endswith("*"))))
    return lambda path: matches(path) or matches(f"{path}.")


def _inside(value: Any, scope: Scope) -> Iterator[tuple[str, Any]] | None:
    """What is in an object or an array; None of a scalar."""
    if type(value) is dict:
        scope.visit(len(value))
        return iter(value.items())
    if type(value) is list:
        scope.visit(len(value))
        return ((str(index), member) for index, member in enumerate(value))
    return None
