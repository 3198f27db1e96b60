"""`decode`, `unpack` and `envelope`, parsed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path as File

from traksense_ingest.shared.mapping.decoding import Decode, Envelope, Format, FormatName, Js, Packing, Text
from traksense_ingest.shared.mapping.faults import did_you_mean, quoted
from traksense_ingest.shared.mapping.read.binary import binary, tlv
from traksense_ingest.shared.mapping.read.cursor import Cursor, Keys
from traksense_ingest.shared.mapping.read.paths import NAME, NOWHERE, path_to_one

FILE_MAX = 1024 * 1024  # bytes of a codec or of a test's payload
CPU_MS, CPU_MS_MAX = 50, 1000
MEMORY, MEMORY_MAX = 8 * 1024 * 1024, 64 * 1024 * 1024
ENCODINGS = ("utf-8", "ascii", "latin-1", "utf-16")
INSIDE = ("from", "unpack", "into")  # of every format: it is in a field of a JSON payload
UNPACKED_BY_ITSELF = (  # by its first bytes, where `unpack` isn't given
    FormatName.JSON,
    FormatName.SENML,
    FormatName.LINE_PROTOCOL,
    FormatName.OTLP_JSON,
    FormatName.V1,
)
JSON = Decode(FormatName.JSON)

_OWN_KEYS = {
    "text": ("encoding",),
    "binary": ("endian", "length", "fields"),
    "tlv": ("type_bytes", "length_bytes", "endian", "entries", "unknown"),
    "js": ("file", "code", "f_port", "variables", "cpu_ms", "memory_bytes"),
}
_NAMES = (*FormatName, *_OWN_KEYS)
KEYS = (*INSIDE, *(key for keys in _OWN_KEYS.values() for key in keys))


@dataclass(frozen=True, slots=True)
class FileReader:
    """Reads the files that a mapping names: codecs and payloads. What it read is part of the mapping's digest."""

    folder: File | None  # None: it may name none
    read: dict[str, bytes]

    def content(self, at: Cursor) -> bytes:
        """A file's bytes; none, and an error, where it can't be read."""
        name = at.text("a file's name")
        if self.folder is None:
            at.fault("a mapping without a file can't read other files; write the content into the mapping")
            return b""
        try:
            with (self.folder / name).open("rb") as file:
                content = file.read(FILE_MAX + 1)
        except (OSError, ValueError) as error:
            at.fault(f"{quoted(name)} can't be read: {getattr(error, 'strerror', None) or error}")
            return b""
        if len(content) > FILE_MAX:
            at.fault(f"{quoted(name)} is larger than {FILE_MAX} bytes")
        self.read[name] = content
        return content

    def text(self, at: Cursor) -> str:
        """A file's text; none, and an error, where it can't be read."""
        try:
            return self.content(at).decode()
        except UnicodeDecodeError as error:
            at.fault(f"not UTF-8 at byte {error.start}")
            return ""


def unpack(at: Cursor) -> tuple[Packing, ...]:
    """One name or several, in the order in which they are undone."""
    return tuple(item.choice(Packing) for item in at.one_or_more())


def default_unpack(decode: Decode) -> tuple[Packing, ...]:
    """What a payload is unpacked by where the file doesn't say."""
    is_textual = decode.source is not None or isinstance(decode.format, Text) or decode.format in UNPACKED_BY_ITSELF
    return (Packing.AUTO,) if is_textual else ()


def envelope(at: Cursor) -> Envelope:
    """Where the topic and the payload of the message inside are."""
    keys = at.keys("payload", "topic", "unpack")
    payload = keys.required("payload", "the path of the inner payload")
    topic = keys.required("topic", "the path of the inner topic")
    return Envelope(
        path_to_one(payload) if payload else NOWHERE,
        path_to_one(topic) if topic else NOWHERE,
        keys.read("unpack", unpack, ()),
    )


def decode(at: Cursor, files: FileReader) -> Decode:
    """A format's name, or an object whose only key is one: `{text: {encoding: latin-1}}`."""
    if not at.is_object:
        name = at.one_of(_NAMES)
        if name in ("binary", "tlv", "js"):
            at.fault(f"{name} needs more keys: {{{name}: {{{', '.join(_OWN_KEYS[name])}}}}}")
        return Decode(Text() if name == "text" else FormatName(name) if name in list(FormatName) else FormatName.JSON)
    table = at.table()
    if len(table) != 1:
        at.fault(f"expected one format, found {len(table)}; allowed: {', '.join(_NAMES)}")
        return JSON
    key, inside = table[0]
    name = key.text()
    if name not in _NAMES:
        key.fault(f"unknown format {quoted(name)}; allowed: {', '.join(_NAMES)}{did_you_mean(name, _NAMES)}")
        return JSON
    keys = inside.keys(*_OWN_KEYS.get(name, ()), *INSIDE)
    return _inside(keys, _format(name, keys, files))


def _inside(keys: Keys, format_: Format) -> Decode:
    if "from" not in keys:
        for name in INSIDE[1:]:
            if at := keys.get(name):
                at.fault("only together with `from`; a whole payload's unpack is the route's")
        return Decode(format_)
    return Decode(
        format_,
        path_to_one(keys.found["from"]),
        keys.read("unpack", unpack, ()),
        keys.read("into", lambda at: at.matching(NAME, "a key of letters, digits and _"), "decoded"),
    )


def _format(name: str, keys: Keys, files: FileReader) -> Format:
    match name:
        case "text":
            return Text(keys.read("encoding", lambda at: at.one_of(ENCODINGS), "utf-8"))
        case "binary":
            return binary(keys)
        case "tlv":
            return tlv(keys)
        case "js":
            return _js(keys, files)
        case _:
            return FormatName(name)


def _js(keys: Keys, files: FileReader) -> Js:
    source = keys.only_one("file", "code")
    at = keys.get(source or "")
    return Js(
        code="" if at is None else files.text(at) if source == "file" else at.text("JavaScript"),
        file=at.text() if at and source == "file" else None,
        f_port=keys.read("f_port", path_to_one, None),
        variables=keys.read("variables", path_to_one, None),
        cpu_ms=keys.read("cpu_ms", lambda cpu: cpu.integer(1, CPU_MS_MAX), CPU_MS),
        memory_bytes=keys.read("memory_bytes", lambda memory: memory.integer(1024 * 1024, MEMORY_MAX), MEMORY),
    )
