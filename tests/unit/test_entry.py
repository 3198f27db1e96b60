"""Redis's reply → an entry, also one that somebody added by hand."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from traksense_ingest.writer.entry import parse_entry

AT = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


def test_the_fields_in_the_order_of_a_receiver() -> None:
    fields = [b"topic", b"t", b"payload", b"p", b"received_at", b"1700000000000"]
    entry = parse_entry("ingest:{0}", b"1700000000500-3", fields, 2)
    assert (entry.id, entry.topic, entry.payload, entry.received_at, entry.deliveries) == (
        "1700000000500-3",
        b"t",
        b"p",
        AT,
        2,
    )
    assert entry.appended_at == AT.replace(microsecond=500_003)


def test_the_fields_in_any_other_order() -> None:
    fields = [b"received_at", b"1700000000000", b"note", b"x", b"payload", b"p", b"topic", b"t"]
    entry = parse_entry("s", b"1-0", fields)
    assert (entry.topic, entry.payload, entry.received_at) == (b"t", b"p", AT)


def test_what_is_missing_is_none_and_the_id_tells_the_time() -> None:
    for received_at in (b"", b"soon", b"99999999999999999999999"):
        entry = parse_entry("s", b"1700000000000-0", [b"received_at", received_at])
        assert (entry.topic, entry.payload) == (None, None)
    assert parse_entry("s", b"1700000000000-0", []).received_at == AT


def test_an_id_beyond_every_calendar_is_still_an_entry() -> None:
    entry = parse_entry("s", b"18446744073709551615-18446744073709551615", [])
    assert entry.appended_at.year == 9999


def test_a_receivers_clock_that_said_nonsense_is_not_believed() -> None:
    for received_at in (b"0", b"-1", b"946684799999", b"253402300799001", b"9" * 5000):
        assert parse_entry("s", b"1700000000000-0", [b"received_at", received_at]).received_at == AT
    assert parse_entry("s", b"1-0", [b"received_at", b"946684800000"]).received_at.year == 2000


def test_no_two_entries_have_the_same_time_though_an_id_is_far_ahead() -> None:
    """Redis goes on from the largest id there was: one ms then has any number of entries."""
    ids = (b"9999999999999-1", b"9999999999999-999999", b"9999999999999-1000000", b"9999999999999-5000000")
    times = [parse_entry("s", id_, []).appended_at for id_ in ids]
    assert sorted(set(times)) == times


@pytest.mark.parametrize(
    ("more", "is_retained"),
    [([], False), ([b"retained", b"1"], True), ([b"retained", b"0"], False), ([b"retained", b""], False)],
    ids=["absent", "1", "0", "empty"],
)
def test_only_a_1_says_that_a_message_is_retained_or_replayed(more: list[bytes], is_retained: bool) -> None:
    fields = [b"topic", b"t", b"payload", b"p", b"received_at", b"1700000000000"]
    replayed = [b"replayed" if part == b"retained" else part for part in more]
    for order in ([*fields, *more], [*more, *fields]):
        entry = parse_entry("s", b"1-0", order)
        assert (entry.retained, entry.replayed, entry.received_at) == (is_retained, False, AT)
    for order in ([*fields, *replayed], [*replayed, *fields]):
        entry = parse_entry("s", b"1-0", order)
        assert (entry.retained, entry.replayed, entry.received_at) == (False, is_retained, AT)


@pytest.mark.parametrize(
    ("value", "import_id"),
    [
        (b"import:0123456789abcdef:17", "import:0123456789abcdef:17"),
        (b"import:" + b"x" * 200, "import:" + "x" * 200),
        (b"import:" + b"x" * 201, None),
        (b"import:", None),
        (b"import:a b", None),
        (b"import:\xff", None),
        (b"import:a\0", None),
        (b"import:a\n", None),
        (b"retained:1-0", None),
        (b"", None),
    ],
)
def test_an_import_id_that_may_be_that_of_a_dead_letter(value: bytes, import_id: str | None) -> None:
    fields = [
        b"topic",
        b"t",
        b"payload",
        b"p",
        b"received_at",
        b"1700000000000",
        b"replayed",
        b"1",
        b"import_id",
        value,
    ]
    assert parse_entry("s", b"1-0", fields)[7:] == (True, import_id)
