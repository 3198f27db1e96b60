"""What a mapping's `decode:` and `unpack:` say: how the bytes of a payload become a document of objects, lists, texts
and numbers. docs/formats.md shows each document.

The values are what the compiler found valid: their parts fit together, and whoever decodes with them checks no option.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, get_args

PlainFormat = Literal[
    "json", "text", "senml", "sparkplug_b", "line_protocol", "otlp_json", "cbor", "msgpack"
]  # formats that need no options; `text` and `line_protocol` have some
Packing = Literal["gzip", "zlib", "zstd", "base64", "hex"]
Encoding = Literal["utf-8", "latin-1", "cp1252", "utf-16"]
Precision = Literal["ns", "us", "ms", "s"]
Endian = Literal["big", "little"]
FieldType = Literal[
    "u8", "u16", "u24", "u32", "u40", "u48", "u56", "u64",
    "i8", "i16", "i24", "i32", "i40", "i48", "i56", "i64",
    "f16", "f32", "f64", "bool", "bcd", "text", "hex",
]  # fmt: skip
UnknownInput = Literal["reject", "skip", "keep"]
UnknownTag = Literal["reject", "stop", "skip"]

PLAIN_FORMATS: tuple[str, ...] = get_args(PlainFormat)
PACKINGS: tuple[str, ...] = get_args(Packing)
ENCODINGS: tuple[str, ...] = get_args(Encoding)
PRECISIONS: tuple[str, ...] = get_args(Precision)
FIELD_TYPES: tuple[str, ...] = get_args(FieldType)
TYPES_WITH_A_LENGTH = ("bcd", "text", "hex")  # all others have a width of their own

Steps = tuple[str | int, ...]  # a path without wildcards: names of an object and indices of a list
Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Text:
    """The payload is a text; with a separator it is a list of texts, with `pairs` too an object of texts."""

    encoding: Encoding = "utf-8"
    separator: str | None = None  # `;` makes "4.2;81" a list: paths [0] and [1]
    pairs: str | None = None  # `=` with the separator `&` makes "t=4.2&h=81" an object: paths t and h


@dataclass(frozen=True, slots=True)
class LineProtocol:
    """InfluxDB's lines; the precision is the unit of their times."""

    precision: Precision = "ns"


@dataclass(frozen=True, slots=True)
class Embedded:
    """The bytes are a text within a JSON payload: the decoded object is added to the JSON document."""

    path: Steps  # `from:`
    unpack: tuple[Packing, ...] = ("base64",)
    into: str = "decoded"  # a name of the outer object


@dataclass(frozen=True, slots=True)
class Field:
    """A named value in binary data: where it is, what type it has, and what is made of it.

    `bit` and `bits` take a part of an integer type: one bit as a boolean, or bits from the lowest to the highest one
    (0 is the least significant; both included) as a number, which is signed where the type is.
    """

    name: str
    type: FieldType = "u8"
    at: int | None = None  # byte, from 0; None: where the field before it ends
    length: int | None = None  # bytes of bcd, text and hex; None: all that follow
    endian: Endian | None = None  # None: as the others
    bit: int | None = None
    bits: tuple[int, int] | None = None
    divide: Decimal | None = None  # value / divide * scale + offset, in decimals
    scale: Decimal | None = None
    offset: Decimal | None = None
    map: Mapping[Scalar, Scalar] | None = None  # of the value before it is scaled
    map_else: UnknownInput = "reject"


@dataclass(frozen=True, slots=True)
class Group:
    """Fields that repeat: a list of objects under its name. The places of its fields count from where a repetition begins."""

    name: str
    fields: tuple[Field, ...]
    count: int | None = None  # None: up to the end of the data
    at: int | None = None


@dataclass(frozen=True, slots=True)
class Binary:
    """Fields at fixed places."""

    fields: tuple[Field | Group, ...]
    endian: Endian = "big"
    length: int | None = None  # bytes, exactly; None: no fewer than the fields need
    embedded: Embedded | None = None


@dataclass(frozen=True, slots=True)
class TlvEntry:
    """What follows a tag. With `into`, each occurrence is an object in a list of that name (a device's history).

    `tag` has a byte for each of `type_bytes`, or None for any byte; `{channel}` in a field's name is the number that
    the bytes have which None stands for.
    """

    tag: tuple[int | None, ...]
    fields: tuple[Field, ...]
    into: str | None = None


@dataclass(frozen=True, slots=True)
class Tlv:
    """Entries one after the other: a tag, perhaps a length, and what the table says follows it."""

    entries: tuple[TlvEntry, ...]
    type_bytes: int = 1  # 1 or 2
    length_bytes: int = 0  # 0: an entry is as long as its fields
    endian: Endian = "big"  # of lengths and fields
    unknown: UnknownTag = "reject"  # `skip` needs a length
    embedded: Embedded | None = None


@dataclass(frozen=True, slots=True)
class Js:
    """A LoRaWAN codec: its function `decodeUplink({bytes, fPort, variables})` makes the document."""

    code: str
    file: str | None = None  # where the code is from, for errors
    f_port: Steps | None = None  # in the outer document
    variables: Steps | None = None
    cpu_ms: int = 50  # for one message
    memory_bytes: int = 16 * 1024 * 1024
    embedded: Embedded | None = None


Decode = PlainFormat | Text | LineProtocol | Binary | Tlv | Js
