"""From the bytes of a payload to a plain document, in each of the formats that a mapping can name.

docs/formats.md shows what each one gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
    path_text,
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
from traksense_ingest.writer.decode.formats.unpack import unpacker_of

__all__ = ["Document", "FormatError", "FormatLimits", "Parser", "parser_of", "unpacker_of"]
