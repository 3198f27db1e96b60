"""Paths and templates, parsed. What is wrong with a string is raised as Wrong, and is an error where it stands."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TypeVar

from traksense_ingest.shared.mapping.faults import did_you_mean, listed, quoted
from traksense_ingest.shared.mapping.read.cursor import Cursor
from traksense_ingest.shared.mapping.text import (
    Each,
    Filter,
    FilterName,
    Index,
    Key,
    Names,
    Over,
    Path,
    Reference,
    Root,
    Step,
    Template,
)

T = TypeVar("T")

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
NOWHERE = Path(".", Root.ITEM, ())

_STEP = re.compile(
    r"""
    (?P<dot>\.)?
    (?: \[(?P<number>-?[0-9]{1,6})\]
      | (?P<items>\[\*\])
      | \[\{(?P<index>[^{}\[\]]*)\}\]
      | \["(?P<double>[^"]*)"\]
      | \['(?P<single>[^']*)'\]
      | \{(?P<key>[^{}\[\]]*)\}
      | (?P<name>[^.\[\]{}]+)
    )""",
    re.VERBOSE | re.ASCII,
)
_QUOTED = r"""\["[^"]*"\]|\['[^']*'\]"""
_PART = re.compile(rf"\{{\{{|\}}\}}|\{{((?:{_QUOTED}|[^{{}}])*+)\}}|[{{}}]|[^{{}}]+")  # *+ never tries twice
_BETWEEN_PIPES = re.compile(rf"(?:^|\|)((?:{_QUOTED}|[^|])*+)")
_WITH_ARGUMENT = {FilterName.LAST, FilterName.FIRST, FilterName.DEFAULT, FilterName.OR}
_WITHOUT_ARGUMENT = {FilterName.LOWER, FilterName.UPPER, FilterName.NOSEP}


class Wrong(ValueError):
    """A string that is not a valid path, template or topic; the message says why."""


def path(at: Cursor) -> Path:
    """A path that may lead to several values."""
    return parsed(at, "a path such as data.temperature", path_of, NOWHERE)


def path_to_one(at: Cursor) -> Path:
    """A path that leads to one value."""
    found = path(at)
    if found.is_many:
        at.fault(f"{quoted(found.text)} leads to several values; expected one: an index such as [0] instead of [*]")
    return found


def template(at: Cursor) -> Template:
    """A string with references in braces."""
    return parsed(at, "a string", template_of, Template("", ("",)))


def template_up_to(characters: int) -> Callable[[Cursor], Template]:
    """The same, whose literal text alone is not longer."""

    def read(at: Cursor) -> Template:
        found = template(at)
        length = sum(len(part) for part in found.parts if isinstance(part, str))
        if length > characters:
            at.fault(f"{length} characters; at most {characters} are allowed")
        return found

    return read


def names(at: Cursor) -> Names:
    """A list of names of points, with * for any characters."""
    texts = [item.text("a name") for item in at.items("a list of names")]
    return Names(frozenset(text for text in texts if "*" not in text), tuple(text for text in texts if "*" in text))


def path_of(text: str) -> Path:
    """Raises Wrong."""
    if text.startswith("@"):
        return Path(text, Root.CAPTURE, (Key(capture_name(text[1:], text)),))
    root, rest = Root.ITEM, text
    if text[:1] in ("$", "^"):
        root, rest = Root(text[0]), text[1:]
        if rest and rest[0] not in ".[{":
            raise Wrong(f'{quoted(text)}: after {root} comes a dot; a key that begins so is written ["{quoted(text)}"]')
    elif text.startswith("."):
        rest = text if text != "." else ""
    return Path(text, root, tuple(_steps(rest, text)))


def _steps(rest: str, text: str) -> Iterator[Step]:
    end, is_first = 0, True
    while end < len(rest):
        match = _STEP.match(rest, end)
        if match is None:
            steps = "key, [0], [*], {name}"
            raise Wrong(f"{quoted(text)}: {quoted(rest[end:])} is not a valid step of a path; allowed: {steps}")
        is_name = match["name"] is not None or match["key"] is not None
        if is_name and not is_first and match["dot"] is None:
            raise Wrong(f"{quoted(text)}: a dot is missing before {quoted(rest[end:])}")
        yield _step(match, text)
        end, is_first = match.end(), False


def _step(match: re.Match[str], text: str) -> Step:
    match match.lastgroup:
        case "number":
            return Index(int(match["number"]))
        case "items":
            return Each(Over.ITEMS)
        case "index":
            return Each(Over.ITEMS, capture_name(match["index"], text))
        case "key":
            return Each(Over.KEYS, capture_name(match["key"], text))
        case "name" if match["name"].strip() == "*":
            raise Wrong(f"{quoted(text)}: * is not a valid key; use [*] for each item, {{name}} for each key")
        case group:
            return Key(match[group or "name"])


def capture_name(name: str, text: str) -> str:
    """The name of a capture in a path or a topic. Raises Wrong."""
    if NAME.fullmatch(name) is None:
        why = "is not a valid name of a capture; allowed: letters, digits and _, a letter first"
        raise Wrong(f"{quoted(text)}: {quoted(name)} {why}")
    return name


def template_of(text: str) -> Template:
    """Raises Wrong."""
    parts: list[str | Reference] = []
    for match in _PART.finditer(text):
        if match[1] is not None:
            parts.append(_reference(match[1], text))
        elif match[0] in ("{", "}"):
            raise Wrong(f"{quoted(text)}: unbalanced braces; a literal brace is written twice")
        else:
            literal = match[0][0] if match[0] in ("{{", "}}") else match[0]
            if parts and isinstance(parts[-1], str):
                parts[-1] += literal
            else:
                parts.append(literal)
    return Template(text, tuple(parts) or ("",))


def _reference(inside: str, text: str) -> Reference:
    first, *filters = _BETWEEN_PIPES.findall(inside)
    return Reference(_value(first.strip(), text), tuple(_filter(part, text) for part in filters))


def _value(written: str, text: str) -> Path:
    """`x` is a capture, `.x` the item's, `^.x` the record's, `$.x` the message's."""
    if not written:
        raise Wrong(f"{quoted(text)}: nothing between the braces; expected {{capture}} or {{.path}}")
    if written[0] in ".$^@":
        found = path_of(written)
        if found.is_many:
            raise Wrong(f"{quoted(text)}: {quoted(written)} leads to several values; expected one")
        return found
    if NAME.fullmatch(written) is None:
        why = "is not a valid name of a capture; a path begins with a dot"
        raise Wrong(f"{quoted(text)}: {quoted(written)} {why}: {{.{quoted(written)}}}")
    return Path(f"@{written}", Root.CAPTURE, (Key(written),))


def _filter(written: str, text: str) -> Filter:
    name, colon, argument = written.partition(":")
    allowed = [member.value for member in FilterName]
    if name.strip() not in allowed:
        hint = did_you_mean(name.strip(), allowed)
        raise Wrong(f"{quoted(text)}: unknown filter {quoted(name)}; allowed: {', '.join(allowed)}{hint}")
    found = FilterName(name.strip())
    if found in _WITH_ARGUMENT and not argument:
        raise Wrong(f"{quoted(text)}: the filter {found} needs an argument, such as {_EXAMPLES[found]}")
    if found in _WITHOUT_ARGUMENT and colon:
        raise Wrong(f"{quoted(text)}: the filter {found} has no argument")
    return Filter(found, argument, _value(argument.strip(), text) if found is FilterName.OR else None)


_EXAMPLES = {
    FilterName.LAST: "last:/",
    FilterName.FIRST: "first:/",
    FilterName.DEFAULT: "default:unknown",
    FilterName.OR: f"or:.serial; {listed(('a capture', 'a path'))}",
}


def parsed(at: Cursor, what: str, parse: Callable[[str], T], default: T) -> T:
    """What a string is by `parse`, which may raise Wrong; the default where it is none."""
    text = at.text(what)
    if not text and at.is_text:
        at.fault(f"expected {what}, found an empty string")
    try:
        return parse(text) if text else default
    except Wrong as wrong:
        at.fault(str(wrong))
        return default
