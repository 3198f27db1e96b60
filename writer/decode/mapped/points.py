"""Entries of `points`, compiled: each adds its readings to those of a record."""

from __future__ import annotations

from typing import Any

from traksense_ingest.shared.mapping.points import (
    AnyPoint,
    Case,
    CasesPoint,
    EachPoint,
    LeavesPoint,
    PathPoint,
    ZipPoint,
)
from traksense_ingest.shared.mapping.text import KEY, Root
from traksense_ingest.writer.decode.mapped.adder import LARGEST, Add, Adder, CompileTime, Readings
from traksense_ingest.writer.decode.mapped.conditions import compile_conditions, compile_selection
from traksense_ingest.writer.decode.mapped.leaves import compile_leaves
from traksense_ingest.writer.decode.mapped.names import UNWANTED
from traksense_ingest.writer.decode.mapped.paths import Items, compile_path, key_of
from traksense_ingest.writer.decode.mapped.scope import MISSING, Get, Scope, Wrong
from traksense_ingest.writer.decode.mapped.templates import key_in, names_captured
from traksense_ingest.writer.decode.mapped.wording import at, in_words, place_of


def compile_point(point: AnyPoint, compile_time: CompileTime) -> Add:
    """What one entry adds to a record's readings."""
    adder = Adder(point, compile_time)
    match point:
        case PathPoint():
            return _path(point, adder)
        case CasesPoint():
            return _cases(point, adder)
        case EachPoint():
            return _each(point, adder)
        case ZipPoint():
            return _zip(point, adder)
        case LeavesPoint():
            return compile_leaves(point, adder)


def makes_captures(point: AnyPoint) -> bool:
    """Whether names are captured while the items of an entry are gone through."""
    match point:
        case EachPoint():
            return bool(point.each.captures) or _uses_key(point)
        case ZipPoint():
            return _uses_key(point)
        case LeavesPoint():
            return point.leaves.is_many or point.name.text != "{leaf}"
        case _:
            return False


def _path(point: PathPoint, adder: Adder) -> Add:
    get, only, where = compile_path(point.path), adder.only, in_words(point.path)
    literal = point.name.literal
    fixed = adder.plan(literal) if literal is not None else None

    def add(record: Any, scope: Scope, readings: Readings) -> None:
        if only is not None and not only(record, scope):
            return
        value = get(record, scope)
        try:
            if value is not MISSING:
                adder.add(fixed or adder.plan(adder.name(record, scope)), value, record, scope, readings)
            elif adder.required:
                raise Wrong("is missing, and is required")
        except Wrong as wrong:
            raise at(where, wrong) from None

    return add


def _cases(point: CasesPoint, adder: Adder) -> Add:
    cases = tuple((compile_conditions(case.when), _value_of(case), _words_of(case)) for case in point.cases)

    def add(record: Any, scope: Scope, readings: Readings) -> None:
        if adder.only is not None and not adder.only(record, scope):
            return
        value, where = MISSING, adder.where
        for when, get, words in cases:
            if when is None or when(record, scope):
                value, where = get(record, scope), words or where
                break
        try:
            if value is not MISSING:
                adder.add(adder.plan(adder.name(record, scope)), value, record, scope, readings)
            elif adder.required:
                raise Wrong("no case has a value, and one is required")
        except Wrong as wrong:
            raise at(where, wrong) from None

    return add


def _value_of(case: Case) -> Get:
    if case.path is not None:
        return compile_path(case.path)
    return lambda _record, _scope: case.literal


def _words_of(case: Case) -> str:
    return in_words(case.path) if case.path is not None else ""


def _each(point: EachPoint, adder: Adder) -> Add:
    is_key = point.name.text == "{key}"
    items = Items(point.each, keeps_key=_uses_key(point))
    if items.is_array and not is_key and not _uses_key(point):
        return _each_of_array(point, items, adder)
    get, name, below = compile_path(point.path), adder.name, point.path

    def add(record: Any, scope: Scope, readings: Readings) -> None:
        key, only, kept, is_empty = "", adder.only, adder.plans.kept, True
        try:
            for key, item in items.of(record, scope):
                is_empty = False
                if only is not None and not only(item, scope):
                    continue
                value = get(item, scope)
                if value is MISSING:
                    adder.skip_missing()
                    continue
                called = key if is_key else name(item, scope)
                plan = kept.get(called) or adder.plan(called)  # type: ignore[arg-type]
                if plan is not UNWANTED:
                    adder.add(plan, value, item, scope, readings)
        except Wrong as wrong:
            raise at(place_of(point.each, key, below), wrong) from None
        adder.check_not_empty(not is_empty, point.each)

    return add


def _each_of_array(point: EachPoint, items: Items, adder: Adder) -> Add:
    """The same for the commonest case, without a generator: conditions choose the items before the loop, and in it keys
    are read and floats added without a call."""
    get, name, below, start = compile_path(point.path), adder.name, point.path, items.start
    value_key, name_key = key_of(point.path), key_in(point.name)
    fixed_name = point.name.literal
    are_keys = value_key is not None and (name_key is not None or fixed_name is not None)
    select, kept = compile_selection(point.only), adder.plans.kept
    is_distinct, has_own_time = adder.is_distinct, adder.moment is not None

    def add(record: Any, scope: Scope, readings: Readings) -> None:
        array = _array(start(record, scope), scope)
        item, fixed = None, None if fixed_name is None else kept.get(fixed_name)
        try:
            for item in array if select is None else select(array, scope):
                plan = fixed
                if are_keys and type(item) is dict:
                    value = item.get(value_key, MISSING)
                    if plan is None and type(called := item.get(name_key)) is str:
                        plan = kept.get(called)
                else:
                    value = get(item, scope)
                if value is MISSING:
                    adder.skip_missing()
                    continue
                plan = plan or adder.plan(name(item, scope))
                if not is_distinct and type(value) is float and plan.is_plain and -LARGEST <= value <= LARGEST:
                    unit = plan.unit if plan.unit_of is None else plan.unit_of(item, scope)
                    reading = (plan.name, value, None, None, unit)
                    group = adder.group_of(item, scope) if has_own_time else readings
                    if (first := group.setdefault(plan.name, reading)) is not reading:
                        scope.again(reading, first)
                elif plan is not UNWANTED:
                    adder.add(plan, value, item, scope, readings)
        except Wrong as wrong:
            raise at(place_of(point.each, _index_of(item, array), below), wrong) from None
        adder.check_not_empty(bool(array), point.each)

    return add


def _index_of(item: Any, array: list[Any]) -> str:
    """Of this very item: the first one that is wrong is the first one that is it."""
    return str(next(index for index, other in enumerate(array) if other is item))


def _array(value: Any, scope: Scope) -> list[Any]:
    """Its items, if it is an array."""
    if type(value) is not list:
        return []
    scope.visit(len(value))
    return value


def _zip(point: ZipPoint, adder: Adder) -> Add:
    arrays = tuple((key, compile_path(path), in_words(path)) for key, path in point.arrays)
    get, is_key = compile_path(point.path), point.name.text == "{key}"
    keeps_key = _uses_key(point)

    def add(record: Any, scope: Scope, readings: Readings) -> None:
        columns = _columns(arrays, record, scope)
        index = 0
        try:
            for index, values in enumerate(zip(*columns.values(), strict=True)):
                item = dict(zip(columns, values, strict=True))
                if keeps_key:
                    scope.captures[KEY] = str(index)
                if adder.only is not None and not adder.only(item, scope):
                    continue
                value = get(item, scope)
                plan = adder.plan(str(index) if is_key else adder.name(item, scope))
                if plan is not UNWANTED and value is not MISSING:
                    adder.add(plan, value, item, scope, readings)
        except Wrong as wrong:
            raise at(f"{adder.where}: item {index}", wrong) from None
        if not columns and adder.required:
            raise at(adder.where, Wrong("its arrays are missing, and are required"))

    return add


def _columns(arrays: tuple[tuple[str, Get, str], ...], record: Any, scope: Scope) -> dict[str, list[Any]]:
    """The arrays that are there, by their keys; raises Wrong where one is none, or lengths differ."""
    columns: dict[str, list[Any]] = {}
    lengths: dict[str, int] = {}
    for key, get, words in arrays:
        value = get(record, scope)
        if value is MISSING or value is None:
            continue
        if type(value) is not list:
            raise at(words, Wrong("Input should be an array"))
        columns[key], lengths[words] = value, len(value)
        scope.visit(len(value))
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{words} has {length}" for words, length in lengths.items())
        raise Wrong(f"expected arrays of one length: {found}", below=next(iter(lengths)))
    return columns


def _uses_key(point: EachPoint | ZipPoint) -> bool:
    templates = [point.name, point.value.unit, *(override.value.unit for override in point.overrides)]
    paths = [point.path, *(condition.path for condition in point.only), *(point.time.paths if point.time else ())]
    names_a_key = any(path.root is Root.CAPTURE and path.text == f"@{KEY}" for path in paths)
    return names_a_key or KEY in names_captured(*templates)
