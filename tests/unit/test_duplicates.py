"""Rows of a batch that repeat others of it."""

from __future__ import annotations

from datetime import timedelta

from tests.support.stack import START
from traksense_ingest.writer.decode.measures import Measures
from traksense_ingest.writer.store.duplicates import DuplicateTracker, without_repetitions


def message(points: str, tenant: str = "t", device: str = "d", second: int = 0, value: float = 0.0) -> Measures:
    readings = tuple((point, value, None, None, None) for point in points)
    return Measures(tenant, device, START + timedelta(seconds=second), None, readings)


def test_what_repeats_nothing_is_left_as_it_is() -> None:
    messages = [message("ab"), message("ab", tenant="u"), message("ab", device="e"), message("ab", second=1)]
    assert without_repetitions(messages) is messages


def test_of_a_point_and_a_moment_the_first_row_stays() -> None:
    messages = [message("ab", value=1), message("c", second=1), message("bc", value=2), message("dcba", value=3)]
    assert [[(row.point_id, row.v_num) for row in left] for left in without_repetitions(messages)] == [
        [("a", 1), ("b", 1)],
        [("c", 0)],
        [("c", 2)],
        [("d", 3)],
    ]


def test_a_message_of_which_nothing_is_left_is_gone() -> None:
    (left,) = without_repetitions([message("ab"), message("ba"), message("a")])
    assert list(left) == list(message("ab"))


def test_duplicates_are_expected_for_some_batches_after_the_last_duplicate() -> None:
    tracker = DuplicateTracker()
    assert not tracker.expects_duplicates()
    tracker.learn(points=10, new=9)
    lasted = 0
    while tracker.expects_duplicates():
        assert not tracker.are_most
        tracker.learn(points=10, new=10)
        lasted += 1
    assert lasted == 8
    tracker.learn(points=100, new=5)
    assert tracker.are_most
    tracker.learn(points=0, new=0)
    assert tracker.expects_duplicates()
    assert not tracker.are_most
