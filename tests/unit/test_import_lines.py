"""Lines of JSON as messages to import, what is wrong with others, and the positions of a file."""

from __future__ import annotations

import base64
import gzip
import json
import os
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest

from tests.support.dead_letters import BYTES, TOPIC, letter
from traksense_ingest.ops.imports import file as files
from traksense_ingest.ops.imports.file import opened_file
from traksense_ingest.ops.imports.lines import parse_line
from traksense_ingest.ops.imports.source import Invalid, Message, Unreadable, import_id

MS = 1_767_225_600_000  # of `letter`


def line(**fields: object) -> bytes:
    return json.dumps({"topic": "a/b", "payload": "x", **fields}, ensure_ascii=False).encode()


@pytest.mark.parametrize("payload", BYTES, ids=repr)
def test_what_export_writes_is_the_message_that_was_rejected(payload: bytes) -> None:
    text = json.dumps(letter(payload).as_dict(), ensure_ascii=False)
    assert parse_line(3, text.encode()) == Message("3", TOPIC, payload, MS)


def test_a_dead_letter_whose_topic_is_not_known_exactly_is_invalid() -> None:
    escaped = replace(letter(b"x", "invalid_topic: topic: not UTF-8 at byte 3"), topic=r"abc\xff")
    found = parse_line(1, json.dumps(escaped.as_dict()).encode())
    assert isinstance(found, Invalid)
    assert "exact bytes are not known" in found.reason


@pytest.mark.parametrize(
    ("given", "payload"),
    [
        ({"payload_base64": base64.b64encode(b"\xff\0").decode(), "payload": None}, b"\xff\0"),
        ({"payload_hex": "ff 00", "payload": None}, b"\xff\0"),
        ({"payload": ""}, b""),
        ({"payload": " \r\n é\0"}, " \r\n é\0".encode()),
    ],
)
def test_payloads(given: dict[str, object], payload: bytes) -> None:
    found = parse_line(1, line(**given))
    assert isinstance(found, Message)
    assert found.payload == payload


@pytest.mark.parametrize(
    ("received_at", "ms"),
    [
        (None, None),
        ("2026-01-01T00:00:00Z", MS),
        ("2026-01-01T00:00:00.0004+00:00", MS),
        ("2025-12-31T21:00:00.123-03:00", MS + 123),
        (MS, MS),
    ],
)
def test_times_of_receipt(received_at: object, ms: int | None) -> None:
    found = parse_line(1, line(received_at=received_at))
    assert isinstance(found, Message)
    assert found.received_ms == ms


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"{", "not JSON: unexpected end of data at column 2"),
        (b'{"topic": "a", "payload": "\xff"}', "not JSON: "),
        (b'{"topic": "\\ud800", "payload": "x"}', "not JSON: "),
        (b"[" * 5000, "not JSON: "),
        (b'["a"]', "no JSON object"),
        (b'{"payload": "x"}', "topic: missing"),
        (line(topic=5), "topic: must be a string"),
        (line(payload=None), "payload: missing"),
        (line(payload={"v": 1}), "payload: must be a string that holds the exact payload"),
        (line(payload_base64="eA=="), "payload and payload_base64: one is enough"),
        (line(payload=None, payload_base64="e"), "payload_base64: not Base64"),
        (line(payload=None, payload_base64="e!A=="), "payload_base64: not Base64"),
        (line(payload=None, payload_hex="f"), "payload_hex: not hexadecimal"),
        (line(received_at="yesterday"), "received_at: not an RFC 3339 timestamp such as 2025-10-07T15:30:00Z"),
        (line(received_at="2026-01-01T00:00:00"), "received_at: has no Z or offset"),
        (line(received_at="1999-12-31T23:59:59Z"), "received_at: not between the years 2000 and 9999"),
        (line(received_at=1_767_225_600), "received_at: not between the years 2000 and 9999"),
        (line(received_at=True), "received_at: neither"),
        (line(received_at=1.5), "received_at: neither"),
    ],
)
def test_what_is_no_message_says_why(text: bytes, reason: str) -> None:
    found = parse_line(7, text)
    assert isinstance(found, Invalid)
    assert found.position == "7"
    assert found.reason.startswith(reason)


def test_blank_lines_and_a_byte_order_mark_are_nothing() -> None:
    assert [parse_line(1, text) for text in (b"", b"\n", b" \r\n", b"\xef\xbb\xbf\n")] == [None] * 4
    assert parse_line(1, b"\xef\xbb\xbf" + line()) == Message("1", "a/b", b"x", None)


TEXT = b"".join(
    (line(payload="1") + b"\n", b"\n", line(payload="3") + b"\r\n", b"no\n", line(payload="5") + b"\n", b"\n")
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "history.jsonl"
    found.write_bytes(TEXT)
    return found


async def positions(source: files.FileSource, after: str, up_to: str, limit: int = 100) -> list[str]:
    return [item.position for item in await source.take(after, up_to, limit)]


async def test_a_file_is_surveyed_and_taken_from_any_position_on(path: Path) -> None:
    with opened_file(path) as source:
        survey = await source.survey()
        assert (survey.messages, survey.invalid, survey.last) == (3, 1, "6")
        assert [source.place(each.position) for each in survey.examples] == ["history.jsonl:4"]
        assert await positions(source, "", survey.last) == ["1", "3", "4", "5"]
        assert await positions(source, "5", survey.last) == []
        assert await positions(source, "", survey.last, 1) == ["1"]
        assert await positions(source, "1", survey.last, 2) == ["3", "4"]
        assert await positions(source, "4", survey.last, 2) == ["5"]
        assert await positions(source, "1", "4") == ["3", "4"]
        assert await positions(source, "3", "3") == []
        assert await source.in_order({"10", "9", "100"}) == ["9", "10", "100"]


async def test_large_payloads_are_taken_a_few_at_a_time(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(b"".join(line(payload="x" * 40) + b"\n" for _ in range(5)))
    monkeypatch.setattr(files, "BATCH_BYTES", 100)
    with opened_file(path) as source:
        last = (await source.survey()).last
        assert await positions(source, "", last) == ["1", "2"]
        assert await positions(source, "2", last) == ["3", "4"]
        assert await positions(source, "4", last) == ["5"]
        assert await positions(source, "", last) == ["1", "2"]
        assert await positions(source, "3", last) == ["4", "5"]


async def test_the_same_lines_are_the_same_source(path: Path, tmp_path: Path) -> None:
    packed, other, pipe = tmp_path / "packed.gz", tmp_path / "other", tmp_path / "pipe"
    packed.write_bytes(gzip.compress(TEXT))
    other.write_bytes(TEXT + line())
    os.mkfifo(pipe)
    Thread(target=pipe.write_bytes, args=(TEXT,)).start()
    ids = []
    for each in (path, packed, pipe, other):
        with opened_file(each) as source:
            assert (await source.survey()).messages in (3, 4)
            ids.append(source.id)
    assert ids[0] == ids[1] == ids[2] != ids[3]


async def test_an_empty_file_has_no_messages(path: Path) -> None:
    path.write_bytes(b"")
    with opened_file(path) as source:
        survey = await source.survey()
        assert (survey.messages, survey.last) == (0, "")
        assert await positions(source, "", survey.last) == []


PACKED = gzip.compress(TEXT, mtime=0)


@pytest.mark.parametrize(
    "content", [PACKED[:-9], PACKED[:20] + b"\xff" * 40, b"\x1f\x8bx"], ids=["cut off", "overwritten", "short"]
)
async def test_a_damaged_file_is_one_line(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with opened_file(path) as source, pytest.raises(Unreadable, match=r"^history.jsonl: can't be read: .+"):
        await source.survey()


def test_a_file_that_does_not_exist_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match=r"absent: can't be read: No such file"), opened_file(tmp_path / "absent"):
        """Nothing."""


async def test_an_id_is_short_whatever_the_key(path: Path) -> None:
    with opened_file(path) as source:
        await source.survey()
        assert import_id(source, "17") == f"import:{source.id}:17"
        long = [import_id(source, position) for position in ("é", "a b", "x" * 5000, "x" * 5001)]
        assert len({*long}) == 4
        assert all(len(each) == len(f"import:{source.id}:") + 32 and each.isascii() for each in long)
