"""Payloads that are not plain JSON: compressed ones are unpacked, and what C clients add is removed. For those that are
no JSON at all, a few words on what they may be.

gzip, zlib (HTTP's deflate) and zstd are recognised by their first bytes. Raw deflate has none and is not unpacked.
"""

from __future__ import annotations

import sys
import zlib
from typing import Any

from traksense_ingest.writer.outcome import Poison

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

BOM = b"\xef\xbb\xbf"
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
GZIP_ONLY = 16 + zlib.MAX_WBITS
ZSTD_WINDOW_LOG = 23  # 8 MiB, which every decoder should accept (RFC 8878); a frame may ask for 2 GiB

MEMBERS = 16  # of one payload, at most: each costs a copy of the bytes after it

UNPACK_ERRORS = (zlib.error, zstd.ZstdError, EOFError)


def packing_of(payload: bytes) -> str:
    """`gzip`, `zlib` or `zstd`, else an empty text."""
    if payload.startswith(GZIP):
        return "gzip"
    if payload.startswith(ZSTD):
        return "zstd"
    return "zlib" if _is_zlib(payload) else ""


def unwrap(payload: bytes, packing: str, limit: int) -> bytes:
    """The JSON in a payload: unpacked, without a byte order mark and NUL bytes at the end; itself where it has neither.

    Never makes more than `limit` bytes of it. Raises Poison: too large when unpacked, damaged, or nothing in it.
    """
    content = unpack(payload, packing, limit) if packing else payload
    content = without_nul_bytes(content.removeprefix(BOM))
    if not content:
        why = "it is empty when unpacked" if packing else "it is nothing but NUL bytes or a byte order mark"
        raise Poison("parse_error", "payload", why)
    return content


def without_nul_bytes(content: bytes) -> bytes:
    """A C client may send the NUL byte that ends its text, before or after a line break."""
    stripped = content.rstrip(b"\0 \t\r\n")
    return stripped if b"\0" in content[len(stripped) :] else content


def unpack(payload: bytes, packing: str, limit: int) -> bytes:
    """All of it: gzip and zstd allow several members one after the other (RFC 1952, RFC 8878).

    Never makes more than a byte over `limit`. Raises Poison.
    """
    content, rest = b"", payload
    for _ in range(MEMBERS):
        part, rest = _unpack_member(rest, packing, limit)
        content += part
        if len(content) > limit:
            raise Poison(
                "payload_too_large", "payload", f"more than {limit} bytes when unpacked, at most {limit} are allowed"
            )
        if packing == "zlib" or packing_of(rest) != packing:
            break
    if rest := rest.rstrip(b"\0"):
        raise Poison("parse_error", "payload", f"can't be unpacked: {len(rest)} bytes follow its end")
    return content


def _unpack_member(payload: bytes, packing: str, limit: int) -> tuple[bytes, bytes]:
    """What it unpacks to, at most a byte more than the limit, and the bytes after it."""
    decompressor = _decompressor(packing, limit)
    try:
        content: bytes = decompressor.decompress(payload, limit + 1)
    except UNPACK_ERRORS as error:
        raise Poison("parse_error", "payload", f"can't be unpacked: {_zlib_message(error)}") from None
    if not decompressor.eof and len(content) <= limit:
        raise Poison("parse_error", "payload", "can't be unpacked: it ends too early")
    return content, decompressor.unused_data


def _decompressor(packing: str, limit: int) -> Any:
    if packing == "zstd":  # compressed in one call, a frame has a window as large as its content
        window_log = max(ZSTD_WINDOW_LOG, limit.bit_length())
        return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: window_log})
    return zlib.decompressobj(GZIP_ONLY if packing == "gzip" else zlib.MAX_WBITS)


def _is_zlib(payload: bytes) -> bool:
    """Two bytes are weak evidence, so the first byte has to unpack as well."""
    if len(payload) < 3 or payload[0] & 0x8F != 8 or int.from_bytes(payload[:2], "big") % 31:
        return False
    try:
        return bool(zlib.decompressobj().decompress(payload, 1))
    except zlib.error:
        return False


def _zlib_message(error: Exception) -> str:
    """Without zlib's beginning: `Error -3 while decompressing data: invalid block type`."""
    return str(error).rpartition("data: ")[2].rstrip(".")


SAMPLE = 256  # bytes from the beginning of a payload: enough to recognise it

_BEGINNINGS = (
    (b"\xff\xfe\x00\x00", "UTF-32, and should be UTF-8"),
    (b"\x00\x00\xfe\xff", "UTF-32, and should be UTF-8"),
    (b"\xff\xfe", "UTF-16, and should be UTF-8"),
    (b"\xfe\xff", "UTF-16, and should be UTF-8"),
    (GZIP, "gzip"),
    (ZSTD, "zstd"),
    (b"BZh", "bzip2, which is not unpacked"),
    (b"\xfd7zXZ\x00", "xz, which is not unpacked"),
    (b"\x04\x22\x4d\x18", "lz4, which is not unpacked"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"%PDF", "a PDF file"),
)
_CONTROL = bytes(byte for byte in (*range(32), 127) if byte not in b"\t\r\n")
_WIDE = (  # a first { or [ in an encoding of two or four bytes a character, without a byte order mark
    (b"\0\0\0", "UTF-32, and should be UTF-8"),
    (b"\0", "UTF-16, and should be UTF-8"),
)


def looks_like(payload: bytes) -> str:
    """`; it looks like an HTML page`, to be appended to why it is not JSON; nothing where it looks like JSON."""
    sample = payload[:SAMPLE]
    if not payload.strip(b"\0 \t\r\n"):
        return "; it is empty" if not payload else "; it is nothing but white space"
    for magic, name in _BEGINNINGS:
        if sample.startswith(magic):
            return f"; it looks like {name}"
    kind = _wide(sample) or (_text(sample) if _is_text(sample) else _bytes(sample))
    return f"; it looks like {kind}" if kind else ""


def _wide(sample: bytes) -> str:
    for nuls, name in _WIDE:
        if sample.startswith((b"{" + nuls, b"[" + nuls, nuls + b"{", nuls + b"[")):
            return name
    return ""


def _is_text(sample: bytes) -> bool:
    """No control characters but white space, and, where it is not UTF-8, letters for the greater part."""
    if any(byte in _CONTROL for byte in sample):
        return False
    return _is_utf8(sample) or sum(byte > 127 for byte in sample) < len(sample) / 2


def _bytes(sample: bytes) -> str:
    return "" if sample[:1] in b"{[" else "binary data, such as Protobuf, CBOR or MessagePack"


def _text(sample: bytes) -> str:
    begin = sample.lstrip()[:15].lower()
    if begin.startswith((b"<!doctype html", b"<html")):
        return "an HTML page"
    if begin.startswith(b"<"):
        return "XML"
    if begin.startswith((b"{", b"[")):
        return _almost_json(sample)
    if begin.startswith(b"eyj"):
        return "Base64"
    if begin.startswith((b"7b22", b"7b20", b"7b0a")):
        return "hexadecimal digits"
    return "CSV" if sample.count(b",") + sample.count(b";") > 1 else "plain text"


def _almost_json(sample: bytes) -> str:
    if not _is_utf8(sample):
        return "text of another encoding than UTF-8, such as Latin-1"
    return "a Python or JavaScript object: names want double quotes" if sample.lstrip()[1:].lstrip()[:1] == b"'" else ""


def _is_utf8(sample: bytes) -> bool:
    """Whether it is UTF-8, apart from a character that is cut at the end of the sample."""
    try:
        sample.decode()
    except UnicodeDecodeError as error:
        return error.end == len(sample) == SAMPLE and error.start > SAMPLE - 4
    return True
