"""What the commands of `mapping` print with: columns, the line with a caret, YAML texts, captures."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len

from traksense_ingest.ops.mapping.columns import columns, wrapped
from traksense_ingest.ops.mapping.draft import yaml as written
from traksense_ingest.ops.mapping.excerpt import excerpt
from traksense_ingest.ops.mapping.messages import message_line, read_capture, rfc3339
from traksense_ingest.shared.errors import ConfigurationError
from traksense_ingest.shared.mapping.expected import Message
from traksense_ingest.shared.mapping.points import Place
from traksense_ingest.shared.mapping.read.nodes import Leaf, compose, resolve
from traksense_ingest.shared.mapping.read.variables import expanded

TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.text("${}a \"'")


def test_columns_are_as_wide_as_they_need_and_fit_a_terminal() -> None:
    rows = [["point", "value"], ["temperature", "4.25"], ["a name of thirty-five characters !!!", "12"]]
    assert list(columns(rows, None)) == [
        "point                                 value",
        "temperature                           4.25",
        "a name of thirty-five characters !!!  12",
    ]
    assert list(columns(rows, 30, right=[1], indent=" ")) == [
        " point                   value",
        " temperature              4.25",
        " a name of thirty-five      12",
        " characters !!!",
    ]
    assert list(columns([["a" * 20, "12", ""], ["b", "c d", "e"]], 20, header=["point", "value", "unit"])) == [
        "point:",
        "aaaaaaaaaaaaaaaaaaaa",
        "  value: 12",
        "point: b",
        "  value: c d",
        "  unit: e",
    ]
    assert list(columns([["khomp", "on tenants/{tenant}/sites/{site}"]], 20)) == [
        "khomp  on tenants/",
        "       {tenant}/",
        "       sites/{site}",
    ]


@given(st.lists(st.lists(st.text(max_size=30), min_size=3, max_size=3), min_size=1), st.integers(26, 90))
@example([["0000000", " 000000", "000000000"]], 26)
def test_nothing_is_left_out_and_no_line_is_wider_than_the_terminal(rows: list[list[str]], width: int) -> None:
    texts = [["".join(filter(str.isprintable, cell)) for cell in row] for row in rows]
    lines = list(columns(texts, width))
    words = sorted(word for row in texts for cell in row for word in re.findall("[^ /]*/|[^ /]+", cell))
    assert sorted(word for line in lines for word in re.findall("[^ /]*/|[^ /]+", line)) == words
    assert all(cell_len(line) <= width or cell_len(line.strip()) == max(map(cell_len, words)) for line in lines)


def test_a_text_is_wrapped_between_words_and_keeps_its_blanks() -> None:
    assert list(wrapped("one two three", 8, "  ")) == ["  one", "  two", "  three"]
    assert list(wrapped("one two three", None)) == ["one two three"]
    assert list(wrapped('found "a  b"', 40)) == ['found "a  b"']


def shown(text: str, line: int, column: int, width: int | None = None) -> list[str]:
    return list(excerpt(Place("f.yaml", line, column), width, {"f.yaml": text}))


def test_the_caret_is_below_the_column() -> None:
    assert shown("a: 1\nbc: {d: 2}\n", 2, 6) == ["    2 | bc: {d: 2}", "      |      ^"]
    assert shown("日本: x", 1, 5) == ["    1 | 日本: x", "      |       ^"]
    assert shown("a", 7, 1) == []
    long = "x" * 50 + "y" * 50
    line, caret = shown(long, 1, 51, width=60)
    assert cell_len(line) <= 60
    assert line[caret.index("^")] == "y"
    assert line[caret.index("^") - 1] == "x"


def test_a_file_that_can_not_be_read_has_no_line() -> None:
    assert list(excerpt(Place("/nowhere/f.yaml", 1, 1), None)) == []
    assert next(excerpt(Place("khomp.yaml", 2, 1), None)) == "    2 | version: 1"


@given(TEXTS)
def test_a_text_in_yaml_is_that_text(text: str) -> None:
    for form in (written.text(text), written.quoted(text)):
        node = compose(f"k: {form}", lambda _at, what: pytest.fail(what))
        (_, value) = node.entries[0]  # type: ignore[attr-defined]
        assert isinstance(value, Leaf)
        assert expanded(str(value.value), {}, pytest.fail) == text
    if "${" not in text:
        assert yaml.safe_load(written.quoted(text)) == text


@given(TEXTS | st.lists(st.text("ab: {'\"", max_size=9)).map("\n".join))
def test_a_payload_in_yaml_is_that_payload(text: str) -> None:
    node = compose(f"t:\n  - payload: {written.payload(text, '      ')}\n", lambda _at, what: pytest.fail(what))
    items = node.entries[0][1].items  # type: ignore[attr-defined]
    assert expanded(items[0].entries[0][1].text, {}, pytest.fail) == text


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53) | st.booleans() | st.none())
def test_a_scalar_in_yaml_is_that_scalar(value: float | int | bool | None) -> None:
    found = resolve(written.scalar(value))
    assert found == value
    assert type(found) in (type(value), int)


@given(st.binary(), st.booleans(), st.integers(0, 10**12))
def test_a_capture_keeps_messages(
    tmp_path_factory: pytest.TempPathFactory, payload: bytes, retained: bool, ms: int
) -> None:
    received = datetime(2000, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    message = Message("plant/ä/\u2028", payload, received, retained)
    file = tmp_path_factory.mktemp("capture") / "c.jsonl"
    file.write_text(f"{message_line(message)}\n\n{message_line(message)}\n")
    assert list(read_capture(file)) == [message, message]
    assert ("payload" in json.loads(message_line(message))) == (payload.decode(errors="ignore").encode() == payload)


NO_MESSAGES = (
    "x",
    "[]",
    "{}",
    '{"topic": 1, "payload": "", "received_at": "2026-01-01T00:00:00Z"}',
    '{"topic": "a", "payload": ""}',
    '{"topic": "a", "payload": "", "received_at": "2026-01-01T00:00:00"}',
    '{"topic": "a", "payload_hex": "0", "received_at": "2026-01-01T00:00:00Z"}',
)


@pytest.mark.parametrize("line", NO_MESSAGES)
def test_a_line_that_is_no_message_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "c.jsonl"
    file.write_text(f"\n{line}\n")
    with pytest.raises(ConfigurationError, match=r"c\.jsonl:2: no message; a line is a JSON object with topic"):
        list(read_capture(file))
    with pytest.raises(ConfigurationError, match=r"absent\.jsonl: can't be read: No such file"):
        list(read_capture(tmp_path / "absent.jsonl"))


def test_times_have_the_digits_that_they_need() -> None:
    moment = datetime(2026, 11, 28, 16, tzinfo=UTC)
    assert [rfc3339(moment.replace(microsecond=us)) for us in (0, 123_000, 123_456)] == [
        "2026-11-28T16:00:00Z",
        "2026-11-28T16:00:00.123Z",
        "2026-11-28T16:00:00.123456Z",
    ]
