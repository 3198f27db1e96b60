"""CBOR (RFC 8949), decoded here: each byte is read once, nothing is allocated for a length before its bytes are there,
and no tag does more than name a time or an integer."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from traksense_ingest.writer.decode.formats.document import (
    NESTING_MAX,
    Document,
    FormatError,
    finite,
    key_text,
    shortest,
)

BIGNUM_BYTES_MAX = 128  # 1024 bits: a double holds no larger integer
INDEFINITE, BREAK = 31, b"\xff"
_BIGNUMS = (2, 3)  # tags: a positive integer, and −1 − an integer, written as bytes
_SIMPLE = {20: False, 21: True, 22: None, 23: None}  # 23 is `undefined`
_FLOATS = {25: struct.Struct(">e"), 26: struct.Struct(">f"), 27: struct.Struct(">d")}
_FLOAT32 = 26  # what a sensor measured; encoders write a double with 16 bits only where that is exact
_ENDLESS = -1


def parse_cbor(payload: bytes, _received: datetime) -> Document:
    """The value: keys of maps as strings, bytes in hexadecimal, big integers as integers, the content of other tags."""
    reader = _Reader(payload)
    value = reader.item(0)
    if reader.place != len(payload):
        raise FormatError("cbor", f"{len(payload) - reader.place} bytes follow the value")
    return value


class _Reader:
    """A place in the bytes."""

    __slots__ = ("data", "place")

    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 0

    def item(self, depth: int) -> Any:
        """The next value. Raises FormatError."""
        begin = self.place
        (initial,) = self.take(1)
        major, info = initial >> 5, initial & 31
        if major == 7:
            return self.simple(info, begin)
        length = self.length(info, begin)
        if major < 2:
            return self.whole(length, begin) if major == 0 else -1 - self.whole(length, begin)
        if depth >= NESTING_MAX:
            raise FormatError("cbor", f"byte {begin}: nested more than {NESTING_MAX} deep")
        return _READERS[major](self, length, depth + 1, begin)

    def items(self, count: int, depth: int) -> Iterator[Any]:
        """So many values, or those before the break."""
        read = 0
        while read != count and not (count == _ENDLESS and self.at_break()):
            yield self.item(depth)
            read += 1

    def chunks(self, major: int, length: int) -> Iterator[bytes]:
        """The bytes of a text string or byte string, which come in one piece or, without a length, in several."""
        if length != _ENDLESS:
            yield self.take(length)
            return
        while not self.at_break():
            begin = self.place
            (initial,) = self.take(1)
            if initial >> 5 != major:
                raise self.malformed(begin)
            yield self.take(self.whole(self.length(initial & 31, begin), begin))

    def at_break(self) -> bool:
        """Whether the next byte ends what has no length; it is skipped then."""
        is_break = self.data[self.place : self.place + 1] == BREAK
        self.place += is_break
        return is_break

    def take(self, count: int) -> bytes:
        end = self.place + count
        if end > len(self.data):
            raise FormatError("cbor", f"byte {self.place}: {count} bytes should follow, and {self.left} do")
        self.place, taken = end, self.data[self.place : end]
        return taken

    @property
    def left(self) -> int:
        return len(self.data) - self.place

    def length(self, info: int, begin: int) -> int:
        if info < 24:
            return info
        if info < 28:
            return int.from_bytes(self.take(1 << (info - 24)), "big")
        if info == INDEFINITE:
            return _ENDLESS
        raise self.malformed(begin)

    def malformed(self, begin: int) -> FormatError:
        return FormatError("cbor", f"byte {begin}: {self.data[begin]:#04x} is not the beginning of a value")

    def whole(self, length: int, begin: int) -> int:
        if length == _ENDLESS:
            raise self.malformed(begin)
        return length

    def simple(self, info: int, begin: int) -> Any:
        if info in _FLOATS:
            layout = _FLOATS[info]
            number = finite(layout.unpack(self.take(layout.size))[0], f"cbor: byte {begin}")
            return shortest(number) if number and info == _FLOAT32 else number
        if info in _SIMPLE:
            return _SIMPLE[info]
        raise self.malformed(begin)


def _bytes(reader: _Reader, length: int, _depth: int, _begin: int) -> str:
    return b"".join(reader.chunks(2, length)).hex()


def _text(reader: _Reader, length: int, _depth: int, begin: int) -> str:
    try:
        return b"".join(reader.chunks(3, length)).decode()
    except UnicodeDecodeError:
        raise FormatError("cbor", f"byte {begin}: a text string that is not UTF-8") from None


def _array(reader: _Reader, length: int, depth: int, _begin: int) -> list[Any]:
    return [*reader.items(length, depth)]


def _map(reader: _Reader, length: int, depth: int, begin: int) -> dict[str, Any]:
    """Of duplicate keys the last one counts, as in JSON."""
    keys = reader.items(length, depth)
    return {key_text(key, f"cbor: byte {begin}"): reader.item(depth) for key in keys}


def _tagged(reader: _Reader, tag: int, depth: int, begin: int) -> Any:
    """A time (0: RFC 3339, 1: Unix seconds) and all else is what the tag's content is."""
    if reader.whole(tag, begin) not in _BIGNUMS:
        return reader.item(depth)
    content = reader.place
    digits = reader.item(depth)
    if reader.data[content] not in _BYTE_STRINGS:
        raise reader.malformed(content)
    if len(digits) > 2 * BIGNUM_BYTES_MAX:
        raise FormatError("cbor", f"byte {begin}: an integer of {len(digits) // 2} bytes, at most {BIGNUM_BYTES_MAX}")
    number = int(digits or "0", 16)
    return number if tag == _BIGNUMS[0] else -1 - number


_BYTE_STRINGS = range(0x40, 0x60)  # the bytes that begin one
_READERS: dict[int, Callable[[_Reader, int, int, int], Any]] = {2: _bytes, 3: _text, 4: _array, 5: _map, 6: _tagged}
