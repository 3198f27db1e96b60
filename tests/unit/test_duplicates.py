"""Rows of a batch that repeat others of it."""

from __future__ import annotations

from datetime import timedelta

from tests.support.stack import START
from traksense_ingest.writer.decode.measures import Measures
from traksense_ingest.writer.store.duplicates import REMEMBERED, DuplicateTracker, keys_of, without_repetitions


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
    tracker.learn(points=10, new=9, repeated=0)
    lasted = 0
    while tracker.expects_duplicates():
        assert not tracker.are_most
        tracker.learn(points=10, new=10, repeated=0)
        lasted += 1
    assert lasted == 8
    tracker.learn(points=100, new=5, repeated=94)
    assert tracker.are_most
    tracker.learn(points=0, new=0, repeated=0)
    assert tracker.expects_duplicates()
    assert not tracker.are_most


def test_duplicates_of_repetitions_are_no_reason_to_expect_others() -> None:
    tracker = DuplicateTracker()
    tracker.learn(points=10, new=6, repeated=4)
    assert not tracker.expects_duplicates()


def test_a_message_that_comes_again_is_recognised_by_its_device_time_and_first_point() -> None:
    tracker = DuplicateTracker()
    (came,) = keys = keys_of([message("ab")])
    assert tracker.observe(keys) == set()
    same = keys_of([message("ac", value=1.0), message("ba"), message("ab", second=1), message("ab", device="e")])
    assert tracker.observe(same) == {came}
    twice = keys_of([message("x"), message("y"), message("x")])
    assert tracker.observe(twice) == {twice[0]}


def test_a_batch_that_repeats_much_is_looked_up_whole() -> None:
    tracker = DuplicateTracker()
    batch = keys_of([message("a", second=second) for second in range(20)])
    tracker.observe(batch[:3])
    assert not tracker.expects_duplicates()
    assert len(tracker.observe(batch[1:])) == 2
    assert tracker.expects_duplicates()


def test_so_many_messages_are_remembered_and_no_more() -> None:
    tracker = DuplicateTracker()
    for key in range(3 * REMEMBERED):
        tracker.observe([key])
    latest = range(3 * REMEMBERED)
    assert len(tracker.observe(latest[-REMEMBERED // 2 :])) == REMEMBERED // 2
    assert len(tracker.observe(latest)) <= REMEMBERED
