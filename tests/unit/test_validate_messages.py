"""What the checks publish is what the writer's decoder makes of it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.support.decoding import v1_routes
from tests.support.rows import points_in
from traksense_ingest.ops.validate import connectivity, dead_letters, latency, persistence, throughput
from traksense_ingest.ops.validate.probe import Message, topic_of
from traksense_ingest.shared.messages import plain
from traksense_ingest.writer.entry import Entry
from traksense_ingest.writer.outcome import Decoded, Outcome, Rejected

START = datetime(2024, 5, 1, 12, tzinfo=UTC)


def decode(message: Message) -> Outcome:
    topic = topic_of("validate-1", message.device).encode()
    entry = Entry("ingest:{0}", "1-0", topic, message.payload, START, 1)
    return v1_routes(1 << 20, 0, lambda: START.replace(minute=1)).decode(entry)


def test_the_expected_rows_are_those_that_the_writer_stores() -> None:
    messages, expected = persistence._messages(START)
    outcomes = [decode(message) for message in messages]
    rows = [measure for outcome in outcomes if isinstance(outcome, Decoded) for measure in points_in(outcome)]
    assert len(rows) == len(expected) == 120
    assert expected == {(row.ts, row.point_id): (row.v_num, row.v_bool, row.v_text) for row in rows}


def test_each_invalid_payload_has_a_reason_of_its_own() -> None:
    outcomes = [decode(Message(dead_letters.DEVICE, payload)) for payload in dead_letters.PAYLOADS]
    rejected = [outcome for outcome in outcomes if isinstance(outcome, Rejected)]
    assert [outcome.error_class for outcome in rejected] == ["parse_error"] * 3
    assert len({outcome.reason for outcome in rejected}) == 3


@pytest.mark.parametrize(("points", "messages"), [(1, 1), (10, 1), (11, 2), (1000, 100)])
def test_a_burst_has_so_many_points_with_distinct_keys(points: int, messages: int) -> None:
    outcomes = [decode(message) for message in throughput.burst(points, START)]
    keys = [(row.point_id, row.ts) for out in outcomes if isinstance(out, Decoded) for row in points_in(out)]
    assert len(outcomes) == messages
    assert len(keys) == len(set(keys)) == points


def test_a_difference_is_reported_with_its_row() -> None:
    key = (START, "flag")
    expected = {key: (None, True, None)}
    assert persistence.difference(expected, expected) is None
    difference = persistence.difference(expected, {key: (1.0, True, None)})
    assert difference == "flag at 2024-05-01T12:00:00+00:00 is (1.0, True, None), should be (None, True, None)"
    assert "is None" in str(persistence.difference(expected, {}))


def dead_letter_rows() -> list[dict[str, object]]:
    return [
        {"reason": f"parse_error: {number}", "error_class": "parse_error", "payload": payload}
        for number, payload in enumerate(dead_letters.PAYLOADS)
    ]


def test_dead_letters_are_compared_by_bytes_and_reason() -> None:
    rows = dead_letter_rows()
    assert dead_letters.mismatch(rows) is None
    assert "2 rows in ingest_errors, should be 3" in str(dead_letters.mismatch(rows[:2]))
    assert "second pipeline" in str(dead_letters.mismatch(rows + rows))
    assert "not the bytes" in str(dead_letters.mismatch([{**rows[0], "payload": b"{}"}, *rows[1:]]))
    assert "not distinct" in str(dead_letters.mismatch([{**row, "reason": "same"} for row in rows]))
    assert "is data_error" in str(dead_letters.mismatch([{**rows[0], "error_class": "data_error"}, *rows[1:]]))


@pytest.mark.parametrize(("rise", "passed"), [(None, True), (2.0, False), (3.0, True), (8.0, True)])
def test_the_counter_must_have_moved_where_it_can_be_read(rise: float | None, passed: bool) -> None:
    assert dead_letters._finding("3 invalid payloads captured", rise, {}).passed is passed


def test_percentiles_are_by_nearest_rank() -> None:
    values = [number / 100 for number in range(100, 0, -1)]
    assert latency.percentile(values, 50) == 0.5
    assert latency.percentile(values, 99) == 0.99
    assert latency.percentile([7.0], 50) == latency.percentile([7.0], 99) == 7.0


def test_the_check_never_joins_a_shared_subscription() -> None:
    assert plain(["$share/g/a/#", "b/+"]) == ["a/#", "b/+"]


@pytest.mark.parametrize(("filters", "covered"), [(["traksense/+/+/+/telem"], True), (["traksense/acme/#"], False)])
def test_topics_that_leave_the_run_out_are_noticed(filters: list[str], covered: bool) -> None:
    assert connectivity.covers(filters, topic_of("validate-1", "check-1")) is covered
