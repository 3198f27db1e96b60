"""Rows of ts_measure in COPY's binary format.

The values that all rows of a message share are encoded once; asyncpg would encode nine values for each row.
https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.4
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

from traksense_ingest.writer.decode.measures import Measure, Measures

CHUNK_ROWS = 4096  # at least, about 0.5 MB

_HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack("!ii", 0, 0)
_TRAILER = struct.pack("!h", -1)
_COLUMNS = struct.pack("!h", len(Measure._fields))
_NULL = struct.pack("!i", -1)
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_length = struct.Struct("!i").pack
_moment = struct.Struct("!iq").pack
_number = struct.Struct("!id").pack
_boolean = struct.Struct("!i?").pack


class _Texts(dict[str | None, bytes]):
    """Each text with its length before it, cached: units and points' names repeat."""

    def __missing__(self, text: str | None) -> bytes:
        self[text] = encoded = _NULL if text is None else _sized(text.encode())
        return encoded


class _Ends(dict[str | None, bytes]):
    """What follows a number in its row: neither boolean nor text, its unit, and the message's meta."""

    def __init__(self, texts: _Texts, meta: bytes) -> None:
        self._texts = texts
        self.meta = meta

    def __missing__(self, unit: str | None) -> bytes:
        self[unit] = end = _NULL + _NULL + self._texts[unit] + self.meta
        return end


def encode(messages: Iterable[Measures]) -> Iterator[bytes]:
    """All data of a COPY, in chunks. Raises UnicodeEncodeError for a lone surrogate."""
    texts = _Texts()
    parts, count, without_meta = [_HEADER], 0, _Ends(texts, _NULL)
    for message in messages:
        key = _COLUMNS + texts[message.tenant_id] + texts[message.device_id]
        ts = _moment(8, (message.ts - _EPOCH) // _MICROSECOND)
        ends = without_meta if message.meta is None else _Ends(texts, _jsonb(message.meta))
        for point, number, boolean, text, unit in message.readings:
            if number is not None:
                parts += (key, texts[point], ts, _number(8, number), ends[unit])
            else:
                parts += (key, texts[point], ts, _NULL, _optional(boolean), texts[text], texts[unit], ends.meta)
        count += len(message.readings)
        if count >= CHUNK_ROWS:
            yield b"".join(parts)
            texts.clear()
            parts, count, without_meta = [], 0, _Ends(texts, _NULL)
    parts.append(_TRAILER)
    yield b"".join(parts)


def _optional(boolean: bool | None) -> bytes:
    return _NULL if boolean is None else _boolean(1, boolean)


def _jsonb(json: str) -> bytes:
    return _sized(b"\x01" + json.encode())


def _sized(value: bytes) -> bytes:
    return _length(len(value)) + value
