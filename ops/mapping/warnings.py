"""What is not an error in a mapping file, but probably a mistake: routes that take nothing, names that nobody uses."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from collections.abc import Mapping as Dict
from dataclasses import fields, is_dataclass

from traksense_ingest.ops.mapping.cover import Filters
from traksense_ingest.ops.mapping.engine import named_files
from traksense_ingest.shared.mapping.faults import Fault
from traksense_ingest.shared.mapping.mappings import Mappings
from traksense_ingest.shared.mapping.model import Mapping, Route
from traksense_ingest.shared.mapping.points import Place
from traksense_ingest.shared.mapping.text import Capture, Path, Root, TopicPattern

Texts = Dict[str, str]  # by their names


def warnings_of(mappings: Mappings, texts: Texts | None = None) -> list[Fault]:
    """Of the files that were named, in their order; what only their tests can show is not among them. `texts` are files
    that are not on the disk."""
    named = named_files(mappings)
    own = {route.place.file for file in named for route in file.routes}
    found = [warning for warning in _unreachable(mappings.routes) if warning.place and warning.place.file in own]
    for file in named:
        found += _unused_captures(file)
        found += _unused_variables(file, texts or {})
        found += _trusting_envelopes(file)
    return sorted(found + list(_overlapping(named)))


def _unreachable(routes: Iterable[Route]) -> Iterator[Fault]:
    earlier: Filters[Route] = Filters()
    for route in routes:
        takers = [earlier.covering(name) for pattern in route.topics for name in pattern.filters]
        if takers and all(takers) and (taker := takers[0]):
            yield Fault(
                route.place,
                route.label,
                f"no message reaches it: {taker.label} ({_shown(taker, route)}) takes all its topics, without `when`",
            )
        elif not route.when and not route.except_topics:
            for pattern in route.topics:
                if _is_exact(pattern):
                    for name in pattern.filters:
                        earlier.add(name, route)


def _shown(taker: Route, route: Route) -> str:
    place = taker.place
    return f"line {place.line}" if place.file == route.place.file else f"{place.file}:{place.line}"


def _is_exact(pattern: TopicPattern) -> bool:
    """Whether it takes all that its filters match, but for empty levels."""
    return all(
        level.literal is not None or len(level.parts) == 1 or all(_is_chosen(part) for part in level.parts)
        for level in pattern.levels
    )


def _is_chosen(part: str | Capture) -> bool:
    return isinstance(part, str) or bool(part.choices)


def _unused_captures(file: Mapping) -> Iterator[Fault]:
    """Of routes with rows; in others the names only say what a level is."""
    for route in (route for route in file.routes if route.identity is not None):
        used = {path.text[1:] for path in _paths(_without_topics(route)) if path.root is Root.CAPTURE}
        captured = dict.fromkeys(name for pattern in route.topics for name in _free_captures(pattern))
        if unused := [f"{{{name}}}" for name in captured if name not in used]:
            be = "are" if len(unused) > 1 else "is"
            yield Fault(route.place, route.label, f"{', '.join(unused)} of its topics {be} never used; + says the same")


def _free_captures(pattern: TopicPattern) -> Iterator[str]:
    """Those without choices, which restrict what a topic is."""
    parts = [part for level in pattern.levels for part in level.parts]
    for part in (*parts, *([pattern.rest] if pattern.rest else [])):
        if isinstance(part, Capture) and part.name and not part.choices:
            yield part.name


def _without_topics(route: Route) -> list[object]:
    names = (field.name for field in fields(route))
    return [getattr(route, name) for name in names if name not in ("topics", "except_topics")]


def _paths(value: object) -> Iterator[Path]:
    if isinstance(value, Path):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _paths(item)
    elif is_dataclass(value):
        for field in fields(value):
            yield from _paths(getattr(value, field.name))


def _unused_variables(file: Mapping, texts: Texts) -> Iterator[Fault]:
    given = texts.get(str(file.file))
    text = file.file.read_text(encoding="utf-8", errors="replace") if given is None else given
    for name, _ in file.vars:
        if f"${{{name}}}" not in text:
            yield Fault(_place_of(name, text, file), "vars", f"{name} is never used: ${{{name}}} is nowhere")


def _trusting_envelopes(file: Mapping) -> Iterator[Fault]:
    """Envelopes whose message inside may be of any tenant."""
    for route in file.routes:
        says_tenant = all("tenant" in pattern.captures for pattern in route.topics)
        if route.envelope and route.tenant.one_of is None and not says_tenant:
            what = (
                "it trusts the inner topic: whoever may publish to its topics can store rows of any tenant; capture "
                "{tenant} in its topics, or set one_of of the file's tenant"
            )
            yield Fault(route.place, route.label, what)


def _place_of(name: str, text: str, file: Mapping) -> Place:
    found = re.search(rf"\b{re.escape(name)}\s*:", text[max(text.find("vars:"), 0) :])
    at = max(text.find("vars:"), 0) + found.start() if found else 0
    shown = file.routes[0].place.file
    return Place(shown, text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at))


def _overlapping(files: Iterable[Mapping]) -> Iterator[Fault]:
    """Filters of which neither covers the other; of those a receiver subscribes to the wider one alone."""
    seen: Filters[tuple[str, Route]] = Filters()
    for route in (route for file in files for route in file.routes):
        others: set[str] = set()  # each other route once
        for name in dict.fromkeys(name for pattern in route.topics for name in pattern.filters):
            if seen.covering(name) is None and (found := seen.overlapping(name)) is not None:
                other, other_route = found
                if other_route is not route and other_route.label not in others and not _covers(name, other):
                    others.add(other_route.label)
                    yield _overlap(name, route, other, other_route)
            seen.add(name, (name, route))


def _covers(name: str, other: str) -> bool:
    wider: Filters[bool] = Filters()
    wider.add(name, True)
    return wider.covering(other) is not None


def _overlap(name: str, route: Route, other: str, other_route: Route) -> Fault:
    return Fault(
        route.place,
        route.label,
        f"its topics {name} and {other} of {other_route.label} overlap: a broker of MQTT 5 sends a message that "
        "matches both twice; it is stored once, if it has a time of its own",
    )
