"""A payload that is one string: a bare number or word."""

from __future__ import annotations

from traksense_ingest.writer.decode.formats.document import FormatError, Parser
from traksense_ingest.writer.decode.payload import looks_like

BYTE_ORDER_MARK = "\ufeff"
ENDS = "\0\r\n"


def text_parser(encoding: str) -> Parser:
    """The text. A byte order mark before it, and line breaks and NUL bytes after it, are removed; spaces stay."""
    return lambda payload, _received: text_of(payload, encoding)


def text_of(payload: bytes, encoding: str = "utf-8") -> str:
    """Decoded. Raises FormatError where it is of another encoding, or has a NUL character inside."""
    try:
        content = payload.decode(encoding)
    except UnicodeDecodeError as error:
        raise FormatError("payload", f"not {encoding.upper()} at byte {error.start}{looks_like(payload)}") from None
    content = content.removeprefix(BYTE_ORDER_MARK).rstrip(ENDS)
    if (place := content.find("\0")) >= 0:
        raise FormatError("payload", f"Input should not contain the NUL character, as at {place}{looks_like(payload)}")
    return content
