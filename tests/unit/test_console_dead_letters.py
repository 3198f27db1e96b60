"""The console's dead letters without servers: filters, scopes, and what is marked in a payload."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta

import pytest

from traksense_ingest.ops.console.actions.scope import Scope
from traksense_ingest.ops.console.filters import ID_MAX, Filters, id_of
from traksense_ingest.ops.console.pages.replay import _problem, _rate
from traksense_ingest.ops.dlq.dead_letter import Selection
from traksense_ingest.ops.dlq.hexdump import hex_of
from traksense_ingest.ops.dlq.payload import Row, rows
from traksense_ingest.ops.dlq.payload_page import LINE_MAX, Line, shown

TIME = datetime(2026, 1, 1, tzinfo=UTC)


def test_filters_are_a_selection_and_a_url_again() -> None:
    given = {"tenant": " acme ", "class": "parse_error", "device": "a/d7", "until": "2026-01-01T00:00:00Z", "x": "y"}
    filters = Filters(given | {"unreplayed": "1"})
    assert filters.selection == Selection(
        tenant="acme", reason="parse_error", device="a/d7", until=TIME, replayed=False
    )
    assert Filters(filters.query()).selection == filters.selection
    assert Filters(filters.query(tenant="")).selection.tenant is None
    assert not filters.is_empty
    assert Filters({}).is_empty
    assert Filters({}).selection == Selection()


def test_a_reason_that_was_cut_at_a_blank_is_still_that_reason() -> None:
    """It comes from a link, and its last character may be a blank."""
    assert Filters({"group": "topic: too long: "}).selection.group == "topic: too long: "


def test_a_duration_is_before_now() -> None:
    since = Filters({"since": "2h"}).selection.since
    assert since is not None
    assert timedelta(hours=1.9) < datetime.now(UTC) - since < timedelta(hours=2.1)


@pytest.mark.parametrize(
    "query", [{"since": "soon"}, {"until": "2026-01-01"}, {"class": "other"}, {"since": "99999999w"}]
)
def test_a_wrong_filter_is_named(query: dict[str, str]) -> None:
    (error,) = Filters(query).errors
    assert error.startswith(f"{next(iter(query))}: ")


def test_what_text_can_not_hold_is_left_out() -> None:
    assert Filters({"text": "a\0b\ud800c"}).selection.text == "abc"
    assert len(Filters({"text": "x" * 10_000}).values["text"]) == 1000


@pytest.mark.parametrize(
    ("text", "id_"),
    [
        ("7", 7),
        (str(ID_MAX), ID_MAX),
        (str(ID_MAX + 1), None),
        ("9" * 99, None),
        ("9" * 5000, None),
        ("0" * 19 + "1" + "9" * 20, None),
        ("0", None),
        ("-1", None),
        ("٣", None),
    ],
)
def test_ids_of_a_url(text: str, id_: int | None) -> None:
    assert id_of(text) == id_
    assert id_of(None) is None


def test_a_scope_is_kept_whole() -> None:
    selection = Selection((1, 2), "t", "c", TIME, TIME, False, 3, 4, "text", "device", "group")
    for scope in (Scope(selection, TIME, 5.0), Scope(Selection(last=7)), Scope(Selection())):
        assert Scope.from_json(scope.as_json()) == scope
    assert ("up to id", "4") in [*Scope(selection).words()]
    assert {name for name, _ in Scope(selection, TIME).words()} >= {"tenant", "class", "text", "device", "reason"}


@pytest.mark.parametrize("text", ["", "1", "{}", '{"selection": {}, "rate": 1}', '{"selection": {"ids": "x"}}', "[]"])
def test_what_is_no_scope_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Scope.from_json(text)


def test_the_count_is_typed_from_a_thousand_on() -> None:
    assert _problem(1.0, 1000, "") is None
    assert _problem(1.0, 1001, "1 001") is None
    assert _problem(1.0, 1001, "1000") is not None
    assert _problem(1.0, 0, "") is not None
    assert _problem(_rate("inf"), 1, "") is not None
    assert (_rate("2.5"), _rate("-1"), _rate("nan"), _rate("1e6")) == (2.5, None, None, None)


def test_what_is_marked_in_a_payload() -> None:
    found = rows(b'{"a": 1,\n "b": oops}', "parse_error: payload: Invalid JSON: x at line 2 column 7", full=False)
    assert found == [Row('{"a": 1,', 1), Row(' "b": oops}', 2, column=6)]
    assert Line.of(found[1], None)[:4] == (2, ' "b": ', "oops", "}")
    found = rows(b'{"a": {"b": 1}}', "parse_error: a.b: wrong", full=False)
    assert Line.of(found[2], None)[:5] == (3, "    ", '"b": 1', "", "a.b: wrong")
    assert rows(b"{", "parse_error: payload: Invalid JSON: x at line 9 column 1", full=False)[-1].number is None


def test_lines_that_are_left_out_are_counted() -> None:
    payload = b"[" + b"1,\n" * 99 + b"1]"
    found = rows(payload, "parse_error: 50: wrong", full=False)
    assert sum(row.hidden or 1 for row in found) == 102
    assert [row.number for row in found if row.note] == [52]
    assert len(rows(payload, "parse_error: 50: wrong", full=True)) == 102


def test_a_long_line_is_cut_unless_all_is_shown() -> None:
    payload = b'{"a": "%s", "b": 1}' % (b"x" * 5000)
    cut, whole = (shown(payload, "parse_error: a: wrong", is_text=True, full=full) for full in (False, True))
    assert [len(line.wrong) for line in cut.lines if line.wrong] == [LINE_MAX + 1]
    assert [len(line.wrong) for line in whole.lines if line.wrong] == [len('"a": "",') + 5000]
    assert (cut.is_shortened, whole.is_shortened) == (True, False)


def test_a_packed_payload_is_shown_as_lines_and_as_bytes() -> None:
    found = shown(gzip.compress(b'{"a": 1}'), "parse_error: a: wrong", is_text=False)
    assert [line.wrong for line in found.lines] == [None, '"a": 1', None]
    assert found.hex is not None
    assert found.hex.rows[0].data[:2] == b"\x1f\x8b"


def test_the_wrong_byte_of_a_hexdump() -> None:
    found = hex_of(bytes(1000), 4, 500)
    assert [(row.offset + row.mark) for row in found.rows if row.mark is not None] == [500]
    assert found.before + sum(len(row.data) for row in found.rows) + found.after == 1000
