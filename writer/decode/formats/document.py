"""What every format gives, a plain document, and how a format says that the bytes are none of its own."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from traksense_ingest.shared.mapping.text import Index, Key, Path
from traksense_ingest.writer.entry import EPOCH
from traksense_ingest.writer.outcome import Poison

Document = Any  # objects with strings for names, lists, strings, numbers (never NaN or infinite), booleans and None
Parser = Callable[[bytes, datetime], Document]  # the payload, and when it was received

NESTING_MAX = 64  # of CBOR and MessagePack; JSON's is orjson's, 1024
PREFIX_MAX = 512  # characters of a name that is repeated in others: else a payload grows with the square of its size
ITEMS_MAX = 10_000  # metrics of one Sparkplug payload: as many as v1 allows points
DIGITS_MAX = 20  # of a 64-bit integer in a string: int() takes a time that grows with the square of its digits
MICROSECOND = 1_000_000  # of them in a second


@dataclass(frozen=True, slots=True)
class FormatLimits:
    """What the operator set: INGEST_MAX_PAYLOAD_BYTES, after unpacking too, and INGEST_MAX_FUTURE_S."""

    max_payload_bytes: int
    max_future_s: int = 86_400


class FormatError(Poison):
    """The bytes are not of this format: where in the payload, and what is wrong."""

    def __init__(self, where: str, what: str, reason: str = "parse_error") -> None:
        super().__init__(reason, where, what)
        self.where = where
        self.what = what


def too_large(what: str) -> FormatError:
    """Larger than INGEST_MAX_PAYLOAD_BYTES when unpacked, or with more items than are allowed."""
    return FormatError("payload", what, "payload_too_large")


def finite(number: float, where: str) -> float | None:
    """NaN is how binary formats say that there is no reading; an infinite number is refused."""
    if math.isfinite(number):
        return number
    if math.isnan(number):
        return None
    raise FormatError(where, "Input should be a finite number")


_SHORTEST = {"f": (6, 7, 8, 9), "e": (3, 4, 5)}  # significant digits that may be enough, by the format of `struct`


def shortest(number: float, code: str = "f") -> float:
    """The shortest decimal that is the same 32-bit (`f`) or 16-bit (`e`) float: 4.2 for 4.19999980926."""
    for digits in _SHORTEST[code]:
        candidate = float(f"{number:.{digits}g}")
        try:
            if struct.pack(code, candidate) == struct.pack(code, number):
                return candidate
        except OverflowError:  # rounded up beyond the largest one
            continue
    return number


def objects_in(value: Document, where: str) -> list[dict[str, Any]]:
    """A list of objects; an absent one is empty."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise FormatError(where, "Input should be an array")
    for index, item in enumerate(value):
        if not isinstance(item, dict):
            raise FormatError(f"{where}[{index}]", "Input should be an object")
    return value


def value_at(document: Document, path: Path) -> Document:
    """What is there, or None. The path has no wildcards, and begins at the document."""
    for step in path.steps:
        match step, document:
            case Key(name), dict():
                document = document.get(name)
            case Index(number), list() if -len(document) <= number < len(document):
                document = document[number]
            case _:
                return None
    return document


def seconds(microseconds: int) -> int | float:
    """Unix time, exact for whole seconds, else the nearest double, which is exact when rounded to microseconds."""
    whole, rest = divmod(microseconds, MICROSECOND)
    return microseconds / MICROSECOND if rest else whole


def microseconds_of(time: datetime) -> int:
    """Since the epoch."""
    since = time - EPOCH
    return (since.days * 86_400 + since.seconds) * MICROSECOND + since.microseconds


def integer_in(text: str, where: str) -> int:
    """A 64-bit integer that is written as a string."""
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > DIGITS_MAX:
        raise FormatError(where, "Input should be a 64-bit integer")
    return int(text)


_PLAIN_KEYS: Mapping[type, Callable[[Any], str]] = {
    str: str,
    int: str,
    bool: lambda key: "true" if key else "false",
    bytes: bytes.hex,
}


def key_text(key: Any, where: str) -> str:
    """The name of a map's entry: integers in decimal, bytes in hexadecimal."""
    if text := _PLAIN_KEYS.get(type(key)):
        return text(key)
    raise FormatError(where, "a map's keys should be strings, integers, booleans or bytes")
