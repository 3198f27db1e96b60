"""MessagePack: the value, made plain."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgpack

from traksense_ingest.writer.decode.formats.document import (
    NESTING_MAX,
    Document,
    FormatError,
    finite,
    key_text,
    seconds,
    shortest,
)

_ERRORS = (ValueError, TypeError, msgpack.UnpackException, OverflowError)
_FLOAT32 = b"\xca"  # what such a number begins with; the library doesn't say which ones did
_PLAIN = (str, int, bool, type(None))  # as they are


def parse_message_pack(payload: bytes, _received: datetime) -> Document:
    """Keys of maps as strings, bytes and unknown extensions in hexadecimal, timestamps as Unix seconds.

    The library refuses lengths beyond the payload's before it allocates anything for them.
    """
    try:
        value = msgpack.unpackb(payload, strict_map_key=False, object_pairs_hook=_pairs)
    except _ERRORS as error:
        raise FormatError("msgpack", _REASONS.get(type(error)) or str(error)) from None
    return _plain(value, _short if _FLOAT32 in payload else _exact)


_REASONS = {msgpack.StackError: "nested too deep", msgpack.FormatError: "a byte that is not the beginning of a value"}


def _exact(number: float) -> float | None:
    return finite(number, "msgpack")


def _short(number: float) -> float | None:
    """A number that is exact in 32 bits was sent in 32 bits: 4.2 is not 4.19999980926."""
    try:
        is_short = struct.unpack("f", struct.pack("f", number))[0] == number
    except OverflowError:
        return number
    return shortest(number) if is_short and math.isfinite(number) else _exact(number)


class _Pairs(list[tuple[Any, Any]]):
    """A map as it came: its keys needn't be hashable, and are checked when they are made plain."""


def _pairs(pairs: list[tuple[Any, Any]]) -> _Pairs:
    return _Pairs(pairs)


def _plain(value: Any, number_of: Callable[[float], float | None], depth: int = 0) -> Document:
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, float):
        return number_of(value)
    if isinstance(value, bytes):
        return value.hex()
    if depth >= NESTING_MAX:
        raise FormatError("msgpack", f"nested more than {NESTING_MAX} deep")
    if isinstance(value, _Pairs):
        return {key_text(key, "msgpack"): _plain(item, number_of, depth + 1) for key, item in value}
    if isinstance(value, list):
        return [_plain(item, number_of, depth + 1) for item in value]
    return _extension(value)


def _extension(value: msgpack.Timestamp | msgpack.ExtType) -> Document:
    """A timestamp's nanoseconds are cut to microseconds."""
    if isinstance(value, msgpack.Timestamp):
        return seconds(value.seconds * 1_000_000 + value.nanoseconds // 1_000)
    return value.data.hex()
