"""JSON. Of a name that an object has twice, the last one counts; NaN and numbers beyond a double are refused."""

from __future__ import annotations

from datetime import datetime

import orjson

from traksense_ingest.writer.decode.formats.document import Document, FormatError
from traksense_ingest.writer.decode.payload import BOM, looks_like, without_nul_bytes


def parse_json(payload: bytes, _received: datetime | None = None) -> Document:
    """The value; a byte order mark before it and NUL bytes after it are removed. Raises FormatError."""
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        return _parse_padded(payload, error)


def _parse_padded(payload: bytes, error: orjson.JSONDecodeError) -> Document:
    content = without_nul_bytes(payload.removeprefix(BOM))
    if not content or content == payload or content.startswith(BOM):
        raise FormatError("payload", _reason(payload, error)) from None
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as inside:
        raise FormatError("payload", _reason(content, inside)) from None


def _reason(payload: bytes, error: orjson.JSONDecodeError) -> str:
    """`not JSON: unexpected character: line 1 column 1 (char 0); it looks like plain text`."""
    try:
        payload.decode()
    except UnicodeDecodeError as wrong:
        return f"not UTF-8 at byte {wrong.start}{looks_like(payload)}"
    return f"not JSON: {error}{looks_like(payload)}"
