"""`when` and `only`, compiled. A table of scalars has true and false apart from 1 and 0, which are equal in Python."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

from traksense_ingest.shared.mapping.points import Condition, Equal, Exists, Not, OfType
from traksense_ingest.shared.mapping.text import Scalar
from traksense_ingest.writer.decode.mapped.paths import compile_path, key_of
from traksense_ingest.writer.decode.mapped.scope import MISSING, Get, Scope

T = TypeVar("T")

Holds = Callable[[Any, Scope], bool]
Select = Callable[[list[Any], Scope], list[Any]]  # those items for which conditions hold, in order
Test = Callable[[Any], bool]

SCALARS = (str, float, int, bool, type(None))

_TYPES: dict[str, tuple[type, ...]] = {
    "number": (int, float),
    "text": (str,),
    "bool": (bool,),
    "null": (type(None),),
    "object": (dict,),
    "array": (list,),
}


class ScalarTable(Generic[T]):
    """What belongs to each of some scalars: 1 is 1.0, and not true."""

    def __init__(self, entries: Iterable[tuple[Scalar, T]]) -> None:
        entries = list(entries)
        self._booleans = {key: value for key, value in entries if isinstance(key, bool)}
        self._others = {key: value for key, value in entries if not isinstance(key, bool)}

    def get(self, key: Any, default: T) -> T:
        """The default for what is not in it, and for objects and arrays."""
        kind = type(key)
        if kind is bool:
            return self._booleans.get(key, default)
        return self._others.get(key, default) if kind in SCALARS else default


def compile_conditions(conditions: Sequence[Condition]) -> Holds | None:
    """Whether all of them hold; None where there are none."""
    texts = [*map(_as_key_and_text, conditions)]
    if len(texts) == 2 and texts[0] and texts[1]:
        return _keys_are(*texts[0], *texts[1])
    compiled = [*map(_condition, conditions)]
    if not compiled:
        return None
    holds = compiled.pop()
    while compiled:
        holds = _both(compiled.pop(), holds)
    return holds


def _both(first: Holds, second: Holds) -> Holds:
    return lambda item, scope: first(item, scope) and second(item, scope)


def _condition(condition: Condition) -> Holds:
    if key_and_text := _as_key_and_text(condition):
        return _key_is(*key_and_text)
    if (key := key_of(condition.path)) is not None:
        return _key_tested(key, _test(condition.test))
    return _tested(compile_path(condition.path), _test(condition.test))


def _as_key_and_text(condition: Condition) -> tuple[str, str] | None:
    """The commonest condition: a key of the item is a string."""
    key, expected = key_of(condition.path), condition.test
    if key is not None and isinstance(expected, Equal) and len(expected.values) == 1:
        (value,) = expected.values
        return (key, value) if isinstance(value, str) else None
    return None


def _key_is(key: str, text: str) -> Holds:
    return lambda item, _scope: type(item) is dict and item.get(key) == text


def _keys_are(first: str, one: str, second: str, other: str) -> Holds:
    return lambda item, _scope: type(item) is dict and item.get(first) == one and item.get(second) == other


def _key_tested(key: str, test: Test) -> Holds:
    return lambda item, _scope: test(item.get(key, MISSING) if type(item) is dict else MISSING)


def compile_selection(conditions: Sequence[Condition]) -> Select | None:
    """The items for which all of them hold; None where there are none. Of those that only ask for a key's text, and
    whether there is a key, no function is called for each item."""
    texts = [*map(_as_key_and_text, conditions)]
    keys = [key_of(condition.path) for condition in conditions]
    if len(texts) == 1 and texts[0]:
        return _where_key_is(*texts[0])
    if len(texts) == 2 and texts[0] and texts[1]:
        return _where_keys_are(*texts[0], *texts[1])
    if len(keys) == 1 and keys[0] is not None and conditions[0].test == Exists(True):
        return _where_key_exists(keys[0])
    holds = compile_conditions(conditions)
    return None if holds is None else lambda items, scope: [item for item in items if holds(item, scope)]


def _where_key_is(key: str, text: str) -> Select:
    return lambda items, _scope: [item for item in items if type(item) is dict and item.get(key) == text]


def _where_keys_are(first: str, one: str, second: str, other: str) -> Select:
    return lambda items, _scope: [
        item for item in items if type(item) is dict and item.get(first) == one and item.get(second) == other
    ]


def _where_key_exists(key: str) -> Select:
    return lambda items, _scope: [item for item in items if type(item) is dict and item.get(key) is not None]


def _tested(get: Get, test: Test) -> Holds:
    return lambda item, scope: test(get(item, scope))


def _test(test: Equal | Exists | OfType | Not) -> Test:
    match test:
        case Equal(values):
            return _equal(values)
        case Exists(expected):
            return lambda value: (value is not MISSING and value is not None) is expected
        case OfType(names):
            types = tuple(type_ for name in names for type_ in _TYPES[name])
            return lambda value: type(value) in types
        case Not(inner):
            holds = _test(inner)
            return lambda value: not holds(value)


def _equal(values: tuple[Scalar, ...]) -> Test:
    if len(values) == 1 and isinstance(values[0], str):
        text = values[0]
        return lambda value: bool(value == text)
    table = ScalarTable((value, True) for value in values)
    return lambda value: table.get(value, False)
