"""Messages → routes: one for each group, and no two that read the same topics in the same way."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import combinations

from traksense_ingest.ops.mapping.draft.identity import POINT
from traksense_ingest.ops.mapping.draft.route import Drafted, drafted
from traksense_ingest.ops.mapping.draft.samples import Form, Group, Sample, grouped
from traksense_ingest.ops.mapping.draft.topics import Addressed, addressed

Planned = tuple[Addressed, Drafted]

_NAMES = {
    Form.SENML: "readings",
    Form.SCALAR: "values",
    Form.TEXT: "values",
}


def planned(samples: Sequence[Sample], tenant: str | None, simple: Collection[int] = ()) -> list[Planned]:
    """The routes in the order in which they are tried; those at the positions in `simple` are drafted so."""
    groups = grouped(samples)
    while True:
        found = addressed(groups, tenant)
        routes = [drafted("", route, is_simple=index in simple) for index, route in enumerate(found)]
        pair = _alike_pair(routes)
        if pair is None:
            return list(zip(found, _named(found, routes), strict=True))
        first, second = (found[each].group for each in pair)
        merged = Group(first.form, (*first.samples, *second.samples))
        groups = [merged if index == pair[0] else route.group for index, route in enumerate(found) if index != pair[1]]


def _alike_pair(routes: Sequence[Drafted]) -> tuple[int, int] | None:
    """Two that differ in their conditions alone."""
    return next(
        (
            (first, second)
            for first, second in combinations(range(len(routes)), 2)
            if replace(routes[first], when=()) == replace(routes[second], when=())
        ),
        None,
    )


def _named(found: Sequence[Addressed], routes: Sequence[Drafted]) -> list[Drafted]:
    names: list[str] = []
    for route in found:
        base = _name(route)
        names.append(base if base not in names else f"{base}-{len(names) + 1}")
    return [replace(route, name=name) for route, name in zip(routes, names, strict=True)]


def _name(route: Addressed) -> str:
    """By the last level of the topic that is the same for all, where it is a word."""
    if POINT in route.identity.captures.values():
        return "values"
    words = [level.lower() for level in route.topic.split("/")[1:] if level.isascii() and level.isalpha()]
    return words[-1][:40] if words else _NAMES.get(route.group.form, "readings")
