"""What a payload is packed in: compressed (gzip, zlib, zstd) or written as text (Base64, hexadecimal).

Nothing unpacks to more than `max_payload_bytes`, and no more than that is in memory meanwhile.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable, Iterable, Mapping

from traksense_ingest.shared.mapping.decoding import Packing
from traksense_ingest.writer.decode.formats.document import FormatError, FormatLimits, too_large
from traksense_ingest.writer.decode.payload import packing_of, unpack
from traksense_ingest.writer.outcome import Poison

Unpacker = Callable[[bytes], bytes]

WHITE_SPACE = b" \t\r\n"
_STANDARD_ALPHABET = bytes.maketrans(b"-_", b"+/")


def unpacker_of(packings: Iterable[Packing], limits: FormatLimits) -> Unpacker:
    """Unpacks in order. Raises FormatError: damaged, not of this packing, or too large."""
    steps = [_UNPACKERS[packing] for packing in packings]

    def unpack_all(payload: bytes) -> bytes:
        for step in steps:
            payload = step(payload, limits.max_payload_bytes)
        return payload

    return unpack_all


def _compressed(packing: str) -> Callable[[bytes, int], bytes]:
    def decompress(payload: bytes, limit: int) -> bytes:
        try:
            return unpack(payload, packing, limit)
        except Poison as poison:
            what = str(poison).removeprefix(f"{poison.reason}: payload: ")
            raise FormatError("payload", f"{what} ({packing})", poison.reason) from None

    return decompress


def _recognised(payload: bytes, limit: int) -> bytes:
    """gzip, zlib or zstd where its first bytes say so."""
    packing = packing_of(payload)
    return _compressed(packing)(payload, limit) if packing else payload


def _base64(payload: bytes, limit: int) -> bytes:
    """Of either alphabet, with line breaks and padding or without."""
    digits = payload.translate(_STANDARD_ALPHABET, WHITE_SPACE).rstrip(b"=")
    _check_size(len(digits) * 3 // 4, limit)
    try:
        return binascii.a2b_base64(digits + b"=" * (-len(digits) % 4), strict_mode=True)
    except binascii.Error as error:
        raise FormatError("payload", f"not Base64: {error}") from None


def _hexadecimal(payload: bytes, limit: int) -> bytes:
    """With 0x before it, white space and colons between its bytes, or without."""
    digits = payload.translate(None, WHITE_SPACE + b":")
    digits = digits[2:] if digits[:2] in {b"0x", b"0X"} else digits
    _check_size(len(digits) // 2, limit)
    try:
        return binascii.unhexlify(digits)
    except binascii.Error as error:
        raise FormatError("payload", f"not hexadecimal: {error}") from None


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise too_large(f"{size} bytes when unpacked, at most {limit} are allowed")


_UNPACKERS: Mapping[Packing, Callable[[bytes, int], bytes]] = {
    Packing.AUTO: _recognised,
    Packing.GZIP: _compressed("gzip"),
    Packing.ZLIB: _compressed("zlib"),
    Packing.ZSTD: _compressed("zstd"),
    Packing.BASE64: _base64,
    Packing.HEX: _hexadecimal,
}
