"""Values as YAML texts."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_VARIABLE = re.compile(r"(?=\$\{[^{}]*\})")
_WORDS = frozenset({"null", "true", "false", "on", "off", "yes", "no", "y", "n"})  # some of them in YAML 1.1 only

WHOLE = 2**53  # below it a whole number needs no decimal point


def text(value: str) -> str:
    """Without quotes where that is unmistakable, else in double ones."""
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return quoted(value)


def quoted(value: str) -> str:
    """In double quotes; what isn't printable is escaped, as YAML has it, and what would be a variable too."""
    return '"' + "".join(map(_escaped, _literal(value))) + '"'


def _literal(value: str) -> str:
    """`$${x}` is `${x}` itself."""
    return _VARIABLE.sub("$", value)


def _escaped(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    if char.isprintable():
        return char
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def scalar(value: Any) -> str:
    """A text, a number, true, false or null."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < WHOLE:
        return str(int(value))
    if isinstance(value, float):
        return json.dumps(value) if math.isfinite(value) else quoted(str(value))
    return json.dumps(value)


def flow(value: Any) -> str:
    """A value in one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{text(str(key))}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(flow, value)) + "]"
    return scalar(value)


def payload(value: str, indent: str) -> str:
    """A payload exactly as it came: in single quotes, as a block of lines, or escaped."""
    lines = _literal(value).split("\n")
    body, end = (lines[:-1], "|") if lines[-1] == "" else (lines, "|-")
    is_block = len(lines) > 1 and all(line.isprintable() for line in lines)
    if is_block and body and body[0][:1].strip() and body[-1].strip():
        return f"{end}\n" + "\n".join(indent + line if line else "" for line in body)
    if len(lines) == 1 and value.isprintable():
        return "'" + lines[0].replace("'", "''") + "'"
    return quoted(value)
