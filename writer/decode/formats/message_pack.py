"""MessagePack: the value, made plain."""

from __future__ import annotations

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
)

_ERRORS = (ValueError, TypeError, msgpack.UnpackException, RecursionError, OverflowError)
_PLAIN = (str, int, bool, type(None))  # as they are


def parse_message_pack(payload: bytes, _received: datetime) -> Document:
    """Keys of maps as texts, bytes and unknown extensions in hexadecimal, timestamps as Unix seconds.

    The library refuses lengths beyond the payload's before it allocates anything for them.
    """
    try:
        value = msgpack.unpackb(payload, strict_map_key=False, object_pairs_hook=_pairs)
    except _ERRORS as error:
        raise FormatError("msgpack", str(error) or "nested too deep") from None
    return _plain(value, 0)


class _Pairs(list[tuple[Any, Any]]):
    """A map as it came: its keys needn't be hashable, and are checked when they are made plain."""


def _pairs(pairs: list[tuple[Any, Any]]) -> _Pairs:
    return _Pairs(pairs)


def _plain(value: Any, depth: int) -> Document:
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, float):
        return finite(value, "msgpack")
    if isinstance(value, bytes):
        return value.hex()
    if depth >= NESTING_MAX:
        raise FormatError("msgpack", f"nested more than {NESTING_MAX} deep")
    if isinstance(value, _Pairs):
        return {key_text(key, "msgpack"): _plain(item, depth + 1) for key, item in value}
    if isinstance(value, list):
        return [_plain(item, depth + 1) for item in value]
    return _extension(value)


def _extension(value: msgpack.Timestamp | msgpack.ExtType) -> Document:
    """A timestamp's nanoseconds are cut to microseconds."""
    if isinstance(value, msgpack.Timestamp):
        return seconds(value.seconds * 1_000_000 + value.nanoseconds // 1_000)
    return value.data.hex()
