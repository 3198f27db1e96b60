"""The beginning of a payload, as text, or as hex where it is not text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from traksense_ingest.ops.dlq.payload import unpacked
from traksense_ingest.ops.terminal import printable

SHOWN = 4096  # bytes
WIDTH = 16  # bytes in a line of hex
PREVIEW = 100  # characters


class Excerpt(NamedTuple):
    """The first SHOWN bytes of what is in a payload."""

    size: int  # bytes, as it was received
    packing: str  # gzip, zlib or zstd; empty if it is not packed
    content_size: int  # bytes, unpacked
    is_text: bool
    text: str  # lines that are safe to print
    is_cut: bool

    @property
    def preview(self) -> str:
        """Its beginning in one line."""
        line = " ".join(self.text[: 2 * PREVIEW].split()) if self.is_text else "bytes that are not text"
        return line if len(line) <= PREVIEW else f"{line[:PREVIEW]}…"


def excerpt(payload: bytes) -> Excerpt:
    """Of a payload, unpacked if it is packed."""
    content, packing = unpacked(payload)
    shown = content[:SHOWN]
    text = _text(shown, is_cut=len(content) > SHOWN)
    lines = "\n".join(hex_lines(shown)) if text is None else text
    return Excerpt(len(payload), packing, len(content), text is not None, lines, len(content) > SHOWN)


def _text(shown: bytes, *, is_cut: bool) -> str | None:
    """None if it isn't UTF-8, or has control characters that text does not have."""
    for end in range(len(shown), max(0, len(shown) - 4) if is_cut else len(shown) - 1, -1):  # cut inside a character
        try:
            text = shown[:end].decode()
        except UnicodeDecodeError:
            continue
        lines = text.replace("\r\n", "\n").split("\n")
        return "\n".join(_line(line) for line in lines) if not _has_controls(text) else None
    return None


def _has_controls(text: str) -> bool:
    return any(char < " " and char not in "\t\r\n\x1b" for char in text)


def _line(text: str) -> str:
    """Tabs stay; other invisible characters become escapes."""
    return "\t".join(printable(part) for part in text.split("\t"))


def hex_lines(content: bytes) -> Iterator[str]:
    """`00000010  7b 22 …  {"…`: the offset, the bytes, and the bytes that are ASCII."""
    for start in range(0, len(content), WIDTH):
        part = content[start : start + WIDTH]
        ascii_ = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in part)
        yield f"{start:08x}  {part.hex(' '):<{3 * WIDTH - 1}}  {ascii_}"
