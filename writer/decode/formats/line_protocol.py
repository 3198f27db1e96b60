"""InfluxDB's line protocol, as Telegraf writes it: `measurement,tag=value field=1.5,n=4i 1795881600000000000`.

One pass over the text: each pattern matches at a place and never goes back, so the time is linear in the length.
"""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import Any

from traksense_ingest.writer.decode.formats.document import DIGITS_MAX, Document, FormatError
from traksense_ingest.writer.decode.formats.text import text_of

_BLANK = re.compile(r"(?:[ \t\r\n]++|#[^\n]*+)*+")
_MEASUREMENT = re.compile(r"(?:[^\\, \n]|\\[^\n]|\\$)++")
_KEY = re.compile(r"(?:[^\\,= \n]|\\[^\n]|\\$)++")
_TEXT = re.compile(r'"((?:[^"\\]|\\.)*+)"', re.DOTALL)
_SCALAR = re.compile(r"[^, \r\n]++")
_INTEGER = re.compile(rf"(-?[0-9]{{1,{DIGITS_MAX}}})([iu])")
_FLOAT = re.compile(r"[-+]?(?:[0-9]++(?:\.[0-9]*+)?+|\.[0-9]++)(?:[eE][-+]?[0-9]++)?+")
_TIME = re.compile(rf" ++(-?[0-9]{{1,{DIGITS_MAX}}})")
_SPACES, _END = re.compile(r" ++"), re.compile(r" *+\r?(?:\n|$)")
_ESCAPED, _ESCAPED_IN_TEXT = re.compile(r"\\([,= ])"), re.compile(r'\\(["\\])')

_RANGES = {"i": (-(2**63), 2**63), "u": (0, 2**64)}
_BOOLEANS = {
    **dict.fromkeys(("t", "T", "true", "True", "TRUE"), True),
    **dict.fromkeys(("f", "F", "false", "False", "FALSE"), False),
}


def parse_line_protocol(payload: bytes, _received: datetime) -> Document:
    """`lines`: measurement, tags, fields and, where the line has one, time: the integer, whatever its precision is."""
    reader = _Reader(text_of(payload))
    lines = []
    while reader.goes_on():
        lines.append(reader.line())
    return {"lines": lines}


class _Reader:
    """A place in the text."""

    __slots__ = ("index", "place", "text")

    def __init__(self, text: str) -> None:
        self.text, self.place, self.index = text, 0, -1

    def goes_on(self) -> bool:
        """Skips empty lines and comments."""
        self._skip(_BLANK)
        self.index += 1
        return self.place < len(self.text)

    def line(self) -> dict[str, Any]:
        line: dict[str, Any] = {"measurement": _unescaped(self._next(_MEASUREMENT, "a measurement")), "tags": {}}
        while self._skip_one(","):
            key = self._key("a tag's key")
            line["tags"][key] = _unescaped(self._next(_KEY, "a tag's value"))
        self._next(_SPACES, "a space and the fields")
        line["fields"] = self._fields()
        if time := _TIME.match(self.text, self.place):
            line["time"] = int(time[1])
            self.place = time.end()
        self._next(_END, "the end of the line")
        return line

    def _fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        while not fields or self._skip_one(","):
            key = self._key("a field's key")
            fields[key] = self._value()
        return fields

    def _key(self, what: str) -> str:
        key = _unescaped(self._next(_KEY, what))
        if not self._skip_one("="):
            raise self._error("=")
        return key

    def _value(self) -> Any:
        if text := _TEXT.match(self.text, self.place):
            self.place = text.end()
            return _ESCAPED_IN_TEXT.sub(r"\1", text[1])
        begin = self.place
        value = _scalar(self._next(_SCALAR, "a field's value"))
        if value is None:
            self.place = begin
            raise self._error("a number, an integer such as 4i, a boolean or a string in double quotes")
        return value

    def _next(self, pattern: re.Pattern[str], what: str) -> str:
        if not (found := pattern.match(self.text, self.place)):
            raise self._error(what)
        self.place = found.end()
        return found[0]

    def _skip(self, pattern: re.Pattern[str]) -> None:
        if found := pattern.match(self.text, self.place):
            self.place = found.end()

    def _skip_one(self, character: str) -> bool:
        is_there = self.text.startswith(character, self.place)
        self.place += is_there
        return is_there

    def _error(self, what: str) -> FormatError:
        found = self.text[self.place : self.place + 20].partition("\n")[0]
        at = f"at character {self.place}: {found!r}, should be {what}"
        return FormatError(f"lines[{self.index}]", at)


def _unescaped(name: str) -> str:
    return _ESCAPED.sub(r"\1", name) if "\\" in name else name


def _scalar(word: str) -> bool | int | float | None:
    """None: it is not a value."""
    if integer := _INTEGER.fullmatch(word):
        low, high = _RANGES[integer[2]]
        number = int(integer[1])
        return number if low <= number < high else None
    if _FLOAT.fullmatch(word):
        return value if math.isfinite(value := float(word)) else None
    return _BOOLEANS.get(word)
