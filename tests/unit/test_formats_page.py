"""docs/formats.md: the document of each example is the one that the page shows."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.support.formats import LIMITS, RECEIVED, codec, field, path
from traksense_ingest.shared.mapping.decoding import (
    Binary,
    Decode,
    Endian,
    Entry,
    FormatName,
    Packing,
    Text,
    Tlv,
    Unknown,
)
from traksense_ingest.writer.decode.formats import parser_of

PAGE = (Path(__file__).parents[2] / "docs" / "formats.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))

LITTLE = {"endian": Endian.LITTLE}
TLV = Tlv(
    2,
    0,
    Endian.LITTLE,
    (
        Entry(b"\x01\x75", (field("battery", "u8"),), 1),
        Entry(b"\x03\x67", (field("temperature", "i16", divide="10", **LITTLE),), 2),
    ),
    Unknown.REJECT,
)
BINARY = Binary(
    (
        field("version", "u8"),
        field("temp", "i16", divide="100"),
        field("door", "bool", bit=0),
        field("mode", "bits", offset=3, bit=1, bits=3, map=((0, "off"), (1, "cool"))),
        field("serial", "hex", length=2),
    ),
    6,
)
WITH_OPTIONS = {
    "text": Decode(Text()),
    "binary": Decode(BINARY),
    "tlv": Decode(TLV),
    "Bytes inside JSON": Decode(TLV, path("data"), (Packing.BASE64,)),
}


def fenced(section: str, kind: str) -> str | None:
    found = re.search(rf"^```{kind}\n(.*?)^```$", SECTIONS[section], re.MULTILINE | re.DOTALL)
    return found and found[1]


def decode_of(section: str) -> Decode:
    if section == "js":
        return Decode(codec(str(fenced("js", "yaml")).partition("code: |\n")[2]))
    return WITH_OPTIONS.get(section) or Decode(FormatName(section))


@pytest.mark.parametrize("section", [name for name in SECTIONS if fenced(name, "json")])
def test_an_example(section: str) -> None:
    digits, text, document = fenced(section, "hex"), fenced(section, "text"), fenced(section, "json")
    payload = bytes.fromhex(digits) if digits else str(text).encode()
    found = parser_of(decode_of(section), LIMITS)(payload, RECEIVED)
    assert found == json.loads(str(document))


def test_every_format_has_an_example() -> None:
    formats = {*FormatName} - {FormatName.V1}
    assert {str(name) for name in formats} | {"text", "binary", "tlv", "js"} <= SECTIONS.keys()
