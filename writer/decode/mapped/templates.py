"""Templates, compiled: a string made of captures and values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from traksense_ingest.shared.mapping.filled import filtered
from traksense_ingest.shared.mapping.text import Filter, FilterName, Path, Reference, Root, Template
from traksense_ingest.writer.decode.mapped.paths import compile_path, key_of
from traksense_ingest.writer.decode.mapped.scope import MISSING, Scope


class NoText(NamedTuple):
    """A template has no text here: what is missing, or can't be one."""

    why: str


Text = Callable[[Any, Scope], str | NoText]
TEXTS = {True: "true", False: "false"}


def compile_template(template: Template) -> Text:
    """The text of a template."""
    if template.literal is not None:
        text = template.literal
        return lambda _item, _scope: text
    parts = tuple(part if isinstance(part, str) else compile_reference(part) for part in template.parts)
    if len(parts) == 1 and not isinstance(parts[0], str):
        return parts[0]
    return _joined(parts)


def key_in(template: Template) -> str | None:
    """The key of the item whose value it is, if it is no more than that."""
    match template.parts:
        case (Reference(path, ()),):
            return key_of(path)
    return None


def _joined(parts: tuple[str | Text, ...]) -> Text:
    def text(item: Any, scope: Scope) -> str | NoText:
        texts = []
        for part in parts:
            found = part if type(part) is str else part(item, scope)  # type: ignore[operator]
            if type(found) is not str:
                return found
            texts.append(found)
        return "".join(texts)

    return text


def compile_reference(reference: Reference) -> Text:
    """What stands for `{…}`."""
    text = _text_at(reference.path)
    for filter_ in reference.filters:
        text = _filtered(text, filter_)
    return text


def _text_at(path: Path) -> Text:
    get = compile_path(path)
    key = key_of(path)
    missing = NoText(f"{path_in_words(path)} is missing")
    null = NoText(f"{path_in_words(path)} is null")
    other = NoText(f"{path_in_words(path)} should be a string, a number or a boolean")

    def text(item: Any, scope: Scope) -> str | NoText:
        value = get(item, scope)
        if type(value) is str:
            return value
        if value is MISSING:
            return missing
        return null if value is None else text_of(value, other)

    def text_at_key(item: Any, scope: Scope) -> str | NoText:
        if type(item) is dict and type(found := item.get(key)) is str:
            return found
        return text(item, scope)

    return text if key is None else text_at_key


def text_of(value: Any, otherwise: NoText) -> str | NoText:
    """A scalar as a string: `10.0` is not `10`, and true is `true`."""
    if type(value) is bool:
        return TEXTS[value]
    return str(value) if isinstance(value, str | int | float) else otherwise


def path_in_words(path: Path) -> str:
    """Without the dot that it begins with in a template."""
    return path.text.removeprefix(".") or "the value" if path.root is Root.ITEM else path.text


def _filtered(text: Text, filter_: Filter) -> Text:
    if filter_.name in (FilterName.DEFAULT, FilterName.OR):
        return _replaced(text, _replacement(filter_))

    def changed(item: Any, scope: Scope) -> str | NoText:
        found = text(item, scope)
        return filtered(found, filter_) if type(found) is str else found

    return changed


def _replacement(filter_: Filter) -> Text:
    if filter_.path is not None:
        return compile_reference(Reference(filter_.path))
    return lambda _item, _scope: filter_.argument


def _replaced(text: Text, replacement: Text) -> Text:
    """Where a string is missing or empty, another one."""

    def found_or_replaced(item: Any, scope: Scope) -> str | NoText:
        found = text(item, scope)
        return found if type(found) is str and found else replacement(item, scope)

    return found_or_replaced


def names_captured(*templates: Template | None) -> set[str]:
    """The captures that templates refer to."""
    paths = [path for template in templates if template for path in template.paths]
    return {path.steps[0].name for path in paths if path.root is Root.CAPTURE}  # type: ignore[union-attr]


def reads_payload(template: Template) -> bool:
    """Whether it refers to anything but captures."""
    return any(path.root is not Root.CAPTURE for path in template.paths)
