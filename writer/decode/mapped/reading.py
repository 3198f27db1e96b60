"""The payload of a message → its document, and how large it is when unpacked."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import orjson

from traksense_ingest.shared.mapping.decoding import Decode, FormatName, Packing
from traksense_ingest.shared.mapping.model import Route
from traksense_ingest.writer.decode.formats import FormatLimits, parser_of, unpacker_of
from traksense_ingest.writer.decode.formats.document import too_large

JSON_BEGINNINGS = b"{["  # no packing begins so

Read = Callable[[bytes, datetime], tuple[Any, int]]  # the document, and the unpacked size, 0 if nothing was packed


class Readers:
    """One for each way to read a payload, so that the candidates of a topic that read it alike read it once."""

    def __init__(self, limits: FormatLimits) -> None:
        self._limits = limits
        self._known: dict[tuple[Decode, tuple[Packing, ...]], Read] = {}

    def of(self, route: Route) -> Read:
        """How a route reads payloads. What it gives raises FormatError."""
        decode = Decode(FormatName.JSON) if route.decode == Decode(FormatName.V1) else route.decode
        key = decode, route.unpack
        if key not in self._known:
            self._known[key] = compile_reader(decode, route.unpack, self._limits)
        return self._known[key]


def compile_reader(decode: Decode, unpack: tuple[Packing, ...], limits: FormatLimits) -> Read:
    """Plain JSON goes straight to orjson; what that refuses is read again by what knows why."""
    parse, unpacked, most = parser_of(decode, limits), unpacker_of(unpack, limits), limits.max_payload_bytes
    is_json = decode == Decode(FormatName.JSON) and unpack in ((), (Packing.AUTO,))

    def read(payload: bytes, received_at: datetime) -> tuple[Any, int]:
        if len(payload) > most:
            raise too_large(f"{len(payload)} bytes, at most {most} are allowed")
        if is_json and payload[0] in JSON_BEGINNINGS:
            try:
                return orjson.loads(payload), 0
            except orjson.JSONDecodeError:
                pass
        content = unpacked(payload)
        return parse(content, received_at), 0 if content is payload else len(content)

    return read
