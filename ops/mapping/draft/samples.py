"""What a payload seems to be, and which messages are of one kind."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from traksense_ingest.shared.mapping.decoding import Decode, FormatName, Packing
from traksense_ingest.shared.mapping.expected import Message
from traksense_ingest.writer.decode.formats import FormatError, FormatLimits, parser_of


def words(text: str) -> tuple[str, ...]:
    """Separated by blanks."""
    return tuple(text.split())


SIMILAR = 0.5  # of the keys of two objects are in both: they are messages of one kind
_SENML = frozenset(words("bn bt bu bv bs bver n u v vs vb vd s t ut"))
_LIMITS = FormatLimits(1024 * 1024, 86_400)
_PARSERS = {
    FormatName.JSON: parser_of(Decode(FormatName.JSON), _LIMITS, (Packing.AUTO,)),
    FormatName.CBOR: parser_of(Decode(FormatName.CBOR), _LIMITS),
    FormatName.MSGPACK: parser_of(Decode(FormatName.MSGPACK), _LIMITS),
}
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,62}")


class Form(StrEnum):
    """What a payload is, as far as one can see."""

    OBJECT = "object"
    ARRAY = "array"  # of objects
    SENML = "senml"
    SCALAR = "scalar"  # a number, true, false or a text, as JSON
    TEXT = "text"  # and no JSON
    MIXED = "mixed"  # JSON of several kinds
    OTHER = "other"  # what nobody can read without its manual


@dataclass(frozen=True, slots=True)
class Sample:
    """A message, taken apart."""

    message: Message
    levels: tuple[str, ...]  # of its topic
    form: Form
    document: Any  # its JSON, or its text
    format: FormatName  # that it is read by, unless it is text or SenML

    @property
    def keys(self) -> frozenset[str]:
        """Of the object, or of the array's objects."""
        objects = self.document if isinstance(self.document, list) else [self.document]
        return frozenset(key for found in objects if isinstance(found, dict) for key in found)


@dataclass(frozen=True, slots=True)
class Group:
    """Messages that one route takes: their topics have the same number of levels."""

    form: Form
    samples: tuple[Sample, ...]

    @property
    def format(self) -> FormatName:
        """What all of them are read by."""
        return self.samples[0].format

    @property
    def documents(self) -> list[Any]:
        """What fields are looked for in: each message's object, or the first of each array."""
        return [_first(sample.document) for sample in self.samples]


def _first(document: Any) -> Any:
    return document[0] if isinstance(document, list) and document else document


def sample_of(message: Message) -> Sample:
    """Take a message apart."""
    return Sample(message, tuple(message.topic.split("/")), *_read(message))


def _read(message: Message) -> tuple[Form, Any, FormatName]:
    """As a writer would read it, in the first format that makes sense of it."""
    for name in (FormatName.JSON, FormatName.CBOR, FormatName.MSGPACK):
        try:
            document = _PARSERS[name](message.payload, message.received)
        except FormatError:
            continue
        form = _form(document)
        if name is FormatName.JSON or form in (Form.OBJECT, Form.ARRAY):  # other bytes may be a number by chance
            return form, document, name
    try:
        text = message.payload.decode()
    except UnicodeDecodeError:
        text = ""
    return (Form.TEXT if text.isprintable() and text.strip() else Form.OTHER), text, FormatName.JSON


def _form(document: Any) -> Form:
    if isinstance(document, dict):
        return Form.OBJECT
    if not isinstance(document, list):
        return Form.OTHER if document is None else Form.SCALAR
    if not document or not all(isinstance(item, dict) and item for item in document):
        return Form.OTHER
    return Form.SENML if _is_senml(document) else Form.ARRAY


def _is_senml(records: Sequence[dict[str, Any]]) -> bool:
    keys = {key for record in records for key in record}
    return keys <= _SENML and bool(keys & {"n", "bn"}) and bool(keys & {"v", "vs", "vb", "vd", "s"})


def grouped(samples: Sequence[Sample]) -> list[Group]:
    """Groups in the order of their first messages."""
    groups: list[list[Sample]] = []
    for sample in samples:
        for group in groups:
            if _belongs(sample, group[0]):
                group.append(sample)
                break
        else:
            groups.append([sample])
    return [Group(_form_of(group), tuple(group)) for group in groups]


def _form_of(samples: Sequence[Sample]) -> Form:
    """Texts that are JSON by chance are texts."""
    return Form.TEXT if any(sample.form is Form.TEXT for sample in samples) else samples[0].form


def _belongs(sample: Sample, other: Sample) -> bool:
    if len(sample.levels) != len(other.levels) or sample.format is not other.format:
        return False
    if sample.form is not other.form and not _are_scalars(sample, other):
        return False
    first = {sample.levels[0], other.levels[0]}
    if len(first) > 1 and (any(name[:1] == "$" for name in first) or not _have_common_level(sample, other)):
        return False
    return sample.form in (Form.SCALAR, Form.TEXT, Form.SENML) or _similar(sample.keys, other.keys)


def _are_scalars(*samples: Sample) -> bool:
    return all(sample.form in (Form.SCALAR, Form.TEXT) for sample in samples)


def _have_common_level(sample: Sample, other: Sample) -> bool:
    return any(one == two for one, two in zip(sample.levels, other.levels, strict=True))


def _similar(one: frozenset[str], other: frozenset[str]) -> bool:
    return len(one & other) >= SIMILAR * len(one | other)


Keys = tuple[str, ...]


def fields(document: Any, depth: int = 3) -> Iterator[tuple[Keys, Any]]:
    """Scalars of an object by their keys, those of its arrays left out; keys that a path can have without quotes."""
    if isinstance(document, dict):
        for key, value in document.items():
            if not is_plain(key):
                continue
            if isinstance(value, dict):
                if depth > 1:
                    yield from (((key, *keys), found) for keys, found in fields(value, depth - 1))
            elif not isinstance(value, list) and value is not None:
                yield (key,), value


def is_plain(key: str) -> bool:
    """Whether a path can have this key as it is."""
    return _PLAIN.fullmatch(key) is not None


def values_at(documents: Sequence[Any], keys: Keys) -> list[Any]:
    """What is there in each document; None where nothing is."""
    return [_value(document, keys) for document in documents]


def _value(document: Any, keys: Keys) -> Any:
    for key in keys:
        if not isinstance(document, dict):
            return None
        document = document.get(key)
    return document


def all_fields(documents: Sequence[Any]) -> list[Keys]:
    """The keys of every scalar, in the order of their first appearance."""
    return list(dict.fromkeys(keys for document in documents for keys, _ in fields(document)))
