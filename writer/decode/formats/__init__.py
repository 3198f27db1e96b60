"""From the bytes of a payload to a plain document, in each of the formats that a mapping can name.

docs/formats.md shows what each one gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime

from traksense_ingest.shared.mapping.decoding import Binary, Decode, FormatName, Js, Packing, Text, Tlv
from traksense_ingest.shared.mapping.text import Path
from traksense_ingest.writer.decode.formats.binary import binary_parser, tlv_parser
from traksense_ingest.writer.decode.formats.cbor import parse_cbor
from traksense_ingest.writer.decode.formats.document import (
    Document,
    FormatError,
    FormatLimits,
    Parser,
    too_large,
    value_at,
)
from traksense_ingest.writer.decode.formats.js import js_decoder
from traksense_ingest.writer.decode.formats.json_text import parse_json
from traksense_ingest.writer.decode.formats.line_protocol import parse_line_protocol
from traksense_ingest.writer.decode.formats.message_pack import parse_message_pack
from traksense_ingest.writer.decode.formats.otlp_json import parse_otlp
from traksense_ingest.writer.decode.formats.senml import senml_parser
from traksense_ingest.writer.decode.formats.sparkplug_b import parse_sparkplug
from traksense_ingest.writer.decode.formats.text import text_parser
from traksense_ingest.writer.decode.formats.unpack import Unpacker, unpacker_of

__all__ = ["Document", "FormatError", "FormatLimits", "Parser", "parser_of", "unpacker_of"]

_NAMED: Mapping[FormatName, Parser] = {
    FormatName.JSON: parse_json,
    FormatName.V1: parse_json,  # the document that conditions look into; v1's schema validates the bytes
    FormatName.SPARKPLUG_B: parse_sparkplug,
    FormatName.LINE_PROTOCOL: parse_line_protocol,
    FormatName.OTLP_JSON: parse_otlp,
    FormatName.CBOR: parse_cbor,
    FormatName.MSGPACK: parse_message_pack,
}
_ContentParser = Callable[[bytes, datetime, Document], Document]  # the third: the document that the bytes were in


def parser_of(decode: Decode, limits: FormatLimits, unpack: Iterable[Packing] = ()) -> Parser:
    """What makes a payload, and when it was received, a document; for any bytes that or a FormatError.

    Raises ValueError for a codec in JavaScript that doesn't compile, or whose extra is not installed.
    """
    parse = _whole(decode, limits) if decode.source is None else _inside(decode, decode.source, limits)
    if packings := tuple(unpack):
        parse = _after(unpacker_of(packings, limits), parse)
    most = limits.max_payload_bytes

    def parse_within_limits(payload: bytes, received: datetime) -> Document:
        if len(payload) > most:
            raise too_large(f"{len(payload)} bytes, at most {most} are allowed")
        return parse(payload, received)

    return parse_within_limits


def _after(unpacked: Unpacker, parse: Parser) -> Parser:
    return lambda payload, received: parse(unpacked(payload), received)


def _whole(decode: Decode, limits: FormatLimits) -> Parser:
    if isinstance(decode.format, Js):
        parse = _js(decode.format)
        return lambda payload, received: parse(payload, received, None)
    return _parser(decode, limits)


def _inside(decode: Decode, source: Path, limits: FormatLimits) -> Parser:
    """JSON, with the decoded content of one of its strings added; nothing is added where there is no such string."""
    unpacked, parse_content = unpacker_of(decode.unpack, limits), _content_parser(decode, limits)

    def parse(payload: bytes, received: datetime) -> Document:
        document = parse_json(payload)
        content = value_at(document, source)
        if content is None or content == "":
            return document
        if not isinstance(document, dict):
            raise FormatError("payload", "Input should be an object")
        try:
            data = unpacked(_bytes(content))
        except FormatError as error:
            raise FormatError(source.text, error.what, error.reason) from None
        document[decode.into] = parse_content(data, received, document)
        return document

    return parse


def _bytes(content: Document) -> bytes:
    if isinstance(content, str):
        return content.encode()
    if isinstance(content, list):
        with suppress(TypeError, ValueError):
            return bytes(content)
    raise FormatError("", "Input should be a string, or an array of bytes")


def _content_parser(decode: Decode, limits: FormatLimits) -> _ContentParser:
    if isinstance(decode.format, Js):
        return _js(decode.format)
    parse = _parser(decode, limits)
    return lambda payload, received, _outer: parse(payload, received)


def _parser(decode: Decode, limits: FormatLimits) -> Parser:
    """Of each format but JavaScript, which may need the document that the bytes were in."""
    match decode.format:
        case Text() as text:
            return text_parser(text.encoding)
        case Binary() as binary:
            return binary_parser(binary)
        case Tlv() as tlv:
            return tlv_parser(tlv)
        case FormatName.SENML:
            return senml_parser(limits)
        case Js():
            raise TypeError(decode.format)
        case name:
            return _NAMED[name]


def _js(js: Js) -> _ContentParser:
    decode = js_decoder(js)

    def parse(payload: bytes, _received: datetime, outer: Document) -> Document:
        f_port = value_at(outer, js.f_port) if js.f_port else None
        return decode(payload, f_port, value_at(outer, js.variables) if js.variables else None)

    return parse
