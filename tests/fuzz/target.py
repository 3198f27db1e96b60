"""What must hold for any message: one function over bytes, which a fuzzer calls with all that it can think of.

An input is a message as one file. Its first byte says where it was published: `T`, `A` and `E` to a device's telem, ack
and event topic; with any other the first line is the topic. The rest is the payload. A digit or a letter from `a` on is
none of a topic's: the rest is a payload in one of the formats that a mapping can name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from tests.support.decoding import v1_routes
from tests.support.formats import LIMITS, MESSAGES, RECEIVED, check_plain
from tests.support.storable import check_storable
from traksense_ingest.shared.mapping.decoding import Decode, Packing
from traksense_ingest.writer.decode.formats import FormatError, Parser, parser_of
from traksense_ingest.writer.entry import parse_entry
from traksense_ingest.writer.outcome import Deferred, Outcome

CORPUS = Path(__file__).parent / "corpus"  # what was found once; whatever a fuzzer finds is written here too
CASES = Path(__file__).parents[1] / "cases" / "messages.jsonl"

NOW = datetime(2025, 10, 7, 16, 0, tzinfo=UTC)
DECODER = v1_routes(max_payload_bytes=100_000, max_future_s=86_400, clock=lambda: NOW)
ID = b"1759852800000-0"

_KINDS = {b"T": b"telem", b"A": b"ack", b"E": b"event"}
FORMATS = {bytes([b"0123456789a"[index]]): name for index, name in enumerate(MESSAGES)}  # by the first byte
PARSERS: dict[bytes, Parser] = {
    mark: parser_of(Decode(MESSAGES[name][0]), LIMITS) for mark, name in FORMATS.items()
} | {
    bytes([b"bcdefg"[index]]): parser_of(Decode(MESSAGES["json"][0]), LIMITS, [packing])
    for index, packing in enumerate(Packing)
}


def check(data: bytes) -> None:
    """Raise AssertionError when a message is neither rows that PostgreSQL takes nor one dead letter with its bytes, or
    a payload in a format neither a document nor an error."""
    if parse := PARSERS.get(data[:1]):
        check_document(parse, data[1:])
    else:
        check_storable(decode(*split(data)))


def check_document(parse: Parser, payload: bytes) -> None:
    """Raise AssertionError when bytes become neither a plain document nor a FormatError."""
    with suppress(FormatError):
        check_plain(parse(payload, RECEIVED))


def decode(topic: bytes, payload: bytes) -> Outcome:
    """The outcome, which is never a bug's."""
    outcome = DECODER.decode(parse_entry("s", ID, [b"topic", topic, b"payload", payload]))
    if isinstance(outcome, Deferred):
        raise AssertionError(f"a bug: {outcome.error!r}") from outcome.error
    return outcome


def split(data: bytes) -> tuple[bytes, bytes]:
    """Topic and payload of an input."""
    if kind := _KINDS.get(data[:1]):
        return b"traksense/t/s/d/" + kind, data[1:]
    topic, _, payload = data.partition(b"\n")
    return topic, payload


def seeds() -> Iterator[tuple[str, bytes]]:
    """The known cases as inputs, each with its name, and a message in each format."""
    for mark, name in FORMATS.items():
        yield f"format-{name}", mark + MESSAGES[name][1]
    for line in CASES.read_text().splitlines():
        case = json.loads(line)
        payload = bytes.fromhex(case["payload_hex"]) if "payload_hex" in case else case["payload"].encode()
        kind = case["topic"].rpartition("/")[2]
        yield f"{case['name']}-topic", case["topic"].encode() + b"\n" + payload
        if kind.encode() in _KINDS.values():
            yield case["name"], kind[:1].upper().encode() + payload
