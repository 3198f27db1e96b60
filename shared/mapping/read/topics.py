"""`topics`, parsed: MQTT's filters with names for what their levels hold."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice, pairwise

from traksense_ingest.shared.mapping.faults import quoted
from traksense_ingest.shared.mapping.read.cursor import Cursor
from traksense_ingest.shared.mapping.read.paths import Wrong, capture_name, parsed
from traksense_ingest.shared.mapping.text import KEY, LEAF, Capture, Level, TopicPattern, variants

VARIANTS_MAX = 256  # of the choices in one topic
CAPTURES_MAX = 64  # in one topic
TOPIC_MAX = 65_535  # bytes of a topic in MQTT

_PART = re.compile(r"\{([^{}/]*)\}|([^{}]+)")
_REST = re.compile(r"\{([^{}/]*)\.\.\.\}")


def topics(at: Cursor) -> tuple[TopicPattern, ...]:
    """One filter or a list of them."""
    what = "a topic filter such as plant/{site}/{device}/data"
    found = [parsed(item, what, pattern_of, None) for item in at.one_or_more()]
    if not found:
        at.fault("expected at least one topic filter, found an empty list")
    return tuple(pattern for pattern in found if pattern)


def pattern_of(text: str) -> TopicPattern:
    """Raises Wrong."""
    if text.startswith("$share/"):
        raise Wrong(f"{quoted(text)}: $share/group/ is not allowed; set MQTT_SHARED_GROUP instead")
    if "\0" in text or len(text.encode(errors="replace")) > TOPIC_MAX:
        raise Wrong(f"{quoted(text)}: a topic can have no NUL character and at most {TOPIC_MAX} bytes")
    *before, last = text.split("/")
    rest = _rest(last, text)
    levels = tuple(_level(level, text) for level in (before if rest else [*before, last]))
    pattern = TopicPattern(text, levels, rest)
    if len(pattern.captures) > CAPTURES_MAX:
        raise Wrong(f"{quoted(text)}: more than {CAPTURES_MAX} captures")
    _refuse_repeated(pattern)
    return replace(pattern, filters=tuple(_filters(pattern)))


def _filters(pattern: TopicPattern) -> Iterator[str]:
    found = list(islice(variants(pattern), VARIANTS_MAX + 1))
    if len(found) > VARIANTS_MAX:
        raise Wrong(f"{quoted(pattern.text)}: its choices make more than {VARIANTS_MAX} topics")
    for levels, _ in found:
        names = ["+" if level.literal is None else level.literal for level in levels]
        yield "/".join([*names, *(["#"] if pattern.rest else [])])


def _rest(last: str, text: str) -> Capture | None:
    if last == "#":
        return Capture(None)
    if match := _REST.fullmatch(last):
        return Capture(_name(match[1], text))
    return None


def _level(level: str, text: str) -> Level:
    if level == "+":
        return Level((Capture(None),))
    if "+" in level or "#" in level:
        raise Wrong(f"{quoted(text)}: + must be a whole level, and # the last one")
    parts: list[str | Capture] = []
    end = 0
    for match in _PART.finditer(level):
        if match.start() != end:
            break
        parts.append(_capture(match[1], text) if match[2] is None else match[2])
        end = match.end()
    if end != len(level):
        raise Wrong(f"{quoted(text)}: unbalanced braces in {quoted(level)}")
    _refuse_adjacent(parts, text)
    return Level(tuple(parts) or ("",))


def _capture(inside: str, text: str) -> Capture:
    if inside.endswith("..."):
        raise Wrong(f"{quoted(text)}: {{{quoted(inside)}}} is only allowed as the whole last level")
    name, colon, choices = inside.partition(":")
    found = tuple(dict.fromkeys(choices.split("|"))) if colon else ()
    if colon and "" in found:
        raise Wrong(f"{quoted(text)}: an empty choice in {{{quoted(inside)}}}; they are written {{name:a|b}}")
    return Capture(_name(name, text), found)


def _name(name: str, text: str) -> str:
    if name in (KEY, LEAF):
        raise Wrong(f"{quoted(text)}: {name} is what `each` and `leaves` capture; use another name")
    return capture_name(name, text)


def _refuse_adjacent(parts: Sequence[str | Capture], text: str) -> None:
    """`{a}{b}`: where the first would end, nobody knows."""
    for one, other in pairwise(parts):
        if isinstance(one, Capture) and isinstance(other, Capture) and not (one.choices or other.choices):
            raise Wrong(f"{quoted(text)}: needs text between {{{one.name}}} and {{{other.name}}}, where one ends")


def _refuse_repeated(pattern: TopicPattern) -> None:
    names = pattern.captures
    for name in names:
        if names.count(name) > 1:
            raise Wrong(f"{quoted(pattern.text)}: duplicate capture {{{name}}}")
