"""Rows of ts_measure as COPY's binary format has them.

What the rows of a message share is encoded once for all of them; asyncpg, which can't know, encodes nine values a row.
https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.4
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from writer.outcome import Measure

CHUNK_ROWS = 4096  # at least, about 0.5 MB

_HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack("!ii", 0, 0)
_TRAILER = struct.pack("!h", -1)
_COLUMNS = struct.pack("!h", len(Measure._fields))
_NULL = struct.pack("!i", -1)
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_length = struct.Struct("!i").pack
_moment = struct.Struct("!iq").pack
_moment_and_number = struct.Struct("!iqidii").pack
_boolean = struct.Struct("!i?").pack


class _Texts(dict[str | None, bytes]):
    """Each text with its length before it. Units and points' names come again and again."""

    def __missing__(self, text: str | None) -> bytes:
        self[text] = encoded = _NULL if text is None else _sized(text.encode())
        return encoded


def encode(messages: Iterable[Sequence[Measure]]) -> Iterator[bytes]:
    """The whole of a COPY's data, in chunks. Tenant, device, moment and meta are the same in all rows of a message.

    Raises UnicodeEncodeError for a lone surrogate.
    """
    texts, parts, count = _Texts(), [_HEADER], 0
    for message in messages:
        if not message:
            continue
        tenant, device, _, ts, _, _, _, _, meta = message[0]
        key, moment = _COLUMNS + texts[tenant] + texts[device], _since_2000(ts)
        meta_json = _NULL if meta is None else _jsonb(meta)
        for _, _, point, _, number, boolean, text, unit, _ in message:
            if number is not None:
                values = _moment_and_number(8, moment, 8, number, -1, -1)
            else:
                values = _moment(8, moment) + _NULL + _optional(boolean) + texts[text]
            parts += (key, texts[point], values, texts[unit], meta_json)
        count += len(message)
        if count >= CHUNK_ROWS:
            yield b"".join(parts)
            texts, parts, count = _Texts(), [], 0
    yield b"".join([*parts, _TRAILER])


def _optional(boolean: bool | None) -> bytes:
    return _NULL if boolean is None else _boolean(1, boolean)


def _since_2000(ts: datetime) -> int:
    return (ts - _EPOCH) // _MICROSECOND


def _jsonb(json: str) -> bytes:
    return _sized(b"\x01" + json.encode())


def _sized(value: bytes) -> bytes:
    return _length(len(value)) + value
