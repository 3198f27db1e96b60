"""How a value is shown in the reason of a dead letter: short, and never an object or an array in full."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from traksense_ingest.shared.mapping.text import Path
from traksense_ingest.writer.decode.mapped.scope import Wrong

SHOWN_MAX = 60  # characters of a text
LISTED_MAX = 20  # names


def shown(value: Any) -> str:
    """`"abc"`, `3`, `true`, `null`, `an object`, `an array`."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list | tuple):
        return "an array"
    if isinstance(value, str):
        return quoted(value)
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return shortened(_number(value))


def quoted(text: str) -> str:
    """A text in quotation marks, on one line."""
    return json.dumps(shortened(text), ensure_ascii=False).replace("\\u0000", "NUL")


def shortened(text: str) -> str:
    """Its beginning, and that there is more."""
    return text if len(text) <= SHOWN_MAX else f"{text[: SHOWN_MAX - 1]}…"


def printable(text: str) -> str:
    """A text as it is, but for characters that would not be seen or that PostgreSQL can't hold."""
    return shortened(text) if text.isprintable() else quoted(text)


def listed(names: Sequence[str]) -> str:
    """The first of them, separated by commas."""
    return ", ".join(names[:LISTED_MAX]) + (", …" if len(names) > LISTED_MAX else "")


def _number(value: Any) -> str:
    try:
        return str(value)
    except ValueError:  # an integer of more digits than Python writes
        return "an integer of thousands of digits"


def in_words(path: Path) -> str:
    """A path as a reason has it."""
    return path.text.removeprefix(".") if path.text != "." else "payload"


def place_of(each: Path, key: str, below: Path | None = None) -> str:
    """Where an item is: `records[3].value`."""
    text = in_words(each)
    index = f"[{key}]" if key.isdigit() else f".{printable(key)}"
    if not key:
        return text
    head = text.removesuffix("[*]") if text.endswith("[*]") else text
    head = "" if head == "payload" else head
    inside = below.text.removeprefix(".") if below else ""
    return f"{head}{index}{'.' if inside and not inside.startswith('[') else ''}{inside}".removeprefix(".")


def at(where: str, wrong: Wrong) -> Wrong:
    """The same with its place, unless that is known."""
    wrong.below = wrong.below or where
    return wrong
