"""What a route's `decode`, `unpack` and `envelope` say, parsed: from bytes to the document that paths lead into."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from traksense_ingest.shared.mapping.text import Path, Scalar


class Packing(StrEnum):
    """How a payload is packed."""

    AUTO = "auto"  # gzip, zlib or zstd where its first bytes say so, as for v1; the default of the textual formats
    GZIP = "gzip"
    ZLIB = "zlib"
    ZSTD = "zstd"
    BASE64 = "base64"
    HEX = "hex"


class FormatName(StrEnum):
    """The formats that have nothing to be said about, by their names in a file."""

    JSON = "json"
    SENML = "senml"
    SPARKPLUG_B = "sparkplug_b"
    LINE_PROTOCOL = "line_protocol"
    OTLP_JSON = "otlp_json"
    CBOR = "cbor"
    MSGPACK = "msgpack"
    V1 = "v1"  # validated by v1's schema of the route's kind; its points, time, ack and event are v1's


@dataclass(frozen=True, slots=True)
class Text:
    """The payload is one string; the path `.` is it."""

    encoding: str = "utf-8"  # or latin-1, ascii, utf-16


class Endian(StrEnum):
    """The order of the bytes of a number."""

    BIG = "big"
    LITTLE = "little"


class FieldType(StrEnum):
    """What the bytes of a field are."""

    U8, U16, U24, U32, U64 = "u8", "u16", "u24", "u32", "u64"
    I8, I16, I24, I32, I64 = "i8", "i16", "i24", "i32", "i64"
    F16, F32, F64 = "f16", "f32", "f64"
    BITS = "bits"  # some bits of the byte(s) at `offset`
    BOOL = "bool"  # whether those bits are not all 0
    BCD = "bcd"
    TEXT = "text"  # UTF-8, without the NULs at its end
    HEX = "hex"


@dataclass(frozen=True, slots=True)
class BinaryField:
    """A field of a binary payload or of a TLV value."""

    name: str
    type: FieldType
    offset: int | None = None  # in bytes from the start (of the value, in a TLV); None: after the one before
    length: int | None = None  # in bytes, of bits, bcd, text and hex; None for text and hex: to the end
    bit: int | None = None  # of bits and bool: the lowest, where 0 (None too) is the lowest of the number
    bits: int | None = None  # of bits and bool: how many; a bool with neither is whether its bytes are not all 0
    endian: Endian = Endian.BIG
    scale: Decimal | None = None
    divide: Decimal | None = None
    add: Decimal | None = None
    map: tuple[tuple[Scalar, Scalar], ...] = ()  # numbers that it has no entry for stay


@dataclass(frozen=True, slots=True)
class Binary:
    """A struct: fields at offsets."""

    fields: tuple[BinaryField, ...]
    length: int | None = None  # bytes, exactly; None: as many as the fields need, or more


class Unknown(StrEnum):
    """What an unknown tag is."""

    REJECT = "reject"
    STOP = "stop"  # the rest is ignored


@dataclass(frozen=True, slots=True)
class Entry:
    """A tag and the fields of its value. `length` in bytes where the payload has no lengths."""

    tag: bytes
    fields: tuple[BinaryField, ...]
    length: int


@dataclass(frozen=True, slots=True)
class Tlv:
    """Tag, length, value. With `length_bytes` 0 each tag has a known length (Milesight, Cayenne)."""

    type_bytes: int
    length_bytes: int
    endian: Endian
    entries: tuple[Entry, ...]
    unknown: Unknown


@dataclass(frozen=True, slots=True)
class Js:
    """A LoRaWAN codec: `decodeUplink({bytes, fPort, variables})`; the document is its result's `data`."""

    code: str
    file: str | None  # where it was read from
    f_port: Path | None
    variables: Path | None
    cpu_ms: int
    memory_bytes: int


Format = FormatName | Text | Binary | Tlv | Js


@dataclass(frozen=True, slots=True)
class Decode:
    """A payload's format. With `source` the payload is JSON: what is there (a string) is unpacked by `unpack`, decoded
    by `format` and put into the document under the key `into`. Nothing is put there where `source` is missing or
    null."""

    format: Format
    source: Path | None = None
    unpack: tuple[Packing, ...] = ()
    into: str = "decoded"


@dataclass(frozen=True, slots=True)
class Envelope:
    """Another message inside: its topic, and its payload as a string or as the value itself. It is routed again, once.
    The route's `time`, if it has one, is when that message was received."""

    payload: Path
    topic: Path
    unpack: tuple[Packing, ...] = ()
