"""Streams on the screen of `status` where there are many: those that are well have one line together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.support.statuses import CALM, RECEIVERS, STATUS
from traksense_ingest.ops.status.report import Status
from traksense_ingest.ops.status.screen import plain
from traksense_ingest.shared.streams.nodes import Node
from traksense_ingest.shared.streams.snapshot import ConsumerInfo, StreamSnapshot


def shard(number: int, in_stream: int = 0, missing: int = 0) -> StreamSnapshot:
    lanes = tuple(ConsumerInfo(f"edge-writer-{lane}", lane, 100) for lane in range(2))
    added = 1000 + in_stream + missing
    stream = f"ingest:{{{number}}}"
    return replace(
        CALM,
        stream=stream,
        added=added,
        stored=999,
        dead_lettered=1,
        duplicates=2,
        in_stream=in_stream,
        consumers=lanes,
    )


def status_of(*shards: StreamSnapshot, lost: Sequence[str] = ()) -> Status:
    before = [replace(each, added=each.added - 100, stored=each.stored - 100) for each in shards]
    losses = {each.stream: int(each.stream in lost) for each in shards}
    return replace(STATUS, now=shards, before=before, lost=losses, receivers=RECEIVERS[:1])


def test_nine_streams_that_are_well_are_one_line() -> None:
    lines = plain(status_of(*(shard(number, in_stream=number) for number in range(9)))).splitlines()
    assert [line.split() for line in lines if line.startswith("9 streams ")] == [
        ["9", "streams", "36", "0%", "420", "ms", "900", "900", "all", "keep", "up"]
    ]
    assert "9 streams: 9036 added = 8991 stored + 9 dead-lettered + 36 here (18 duplicate rows)" in lines
    assert ["edge-writer", "18", "9", "100", "ms"] in [line.split() for line in lines]
    assert len(lines) < 20


def test_a_stream_that_is_not_well_has_a_line_of_its_own() -> None:
    lines = plain(status_of(*(shard(number, in_stream=45_000 * (number == 3)) for number in range(9)))).splitlines()
    table = [line for line in lines if line.startswith(("9 streams ", "ingest:{")) and " = " not in line]
    assert [line.split()[:3] for line in table] == [["9", "streams", "45000"], ["ingest:{3}", "45000", "90%"]]
    assert table[0].endswith("8 keep up")
    assert table[1].endswith("steady")


def test_of_many_that_are_not_well_those_with_the_longest_backlogs() -> None:
    lines = plain(status_of(*(shard(number, in_stream=1000 * (number + 1)) for number in range(64)))).splitlines()
    own = [line for line in lines if line.startswith("ingest:{")]
    assert [line.split()[0] for line in own] == [f"ingest:{{{number}}}" for number in range(56, 64)]
    (rest,) = [line for line in lines if line.startswith("56 more ")]
    assert rest.split()[2] == str(sum(1000 * (number + 1) for number in range(56)))
    assert [line.split()[-3:] for line in lines if line.startswith("64 streams ")] == [["0", "keep", "up"]]


def test_counts_that_do_not_balance_have_lines_of_their_own() -> None:
    status = status_of(*(shard(number, missing=int(number == 2)) for number in range(6)), lost=["ingest:{4}"])
    lines = plain(status).splitlines()
    assert lines[-4:] == [
        "ingest:{2}: 1 entries were removed by another client (XDEL, XTRIM)",
        "ingest:{4}: 1 entries are lost: the stream was deleted with them in it",
        "4 other streams: 4000 added = 3996 stored + 4 dead-lettered + 0 here (8 duplicate rows)",
        "once the cause is known: traksense-ingest status --accept-loss",
    ]
    assert status.exit_code == 1
    assert len(json.loads(status.as_json())["shards"]) == 6


@pytest.mark.parametrize("count", [4, 5])
def test_few_streams_have_a_line_each(count: int) -> None:
    lines = plain(status_of(*(shard(number) for number in range(count)))).splitlines()
    assert any(line.startswith(f"{count} streams ") for line in lines) is (count == 5)
    assert any(line.startswith("edge-writer-1 ") for line in lines) is (count == 4)


NODES = (
    Node("10.0.0.1:7001", True, True, None, (range(8000),)),
    Node("10.0.0.2:7002", True, False, None, (range(8000, 16384),)),
    Node("10.0.0.3:7003", False, True, "10.0.0.1:7001"),
    Node("10.0.0.4:7004", False, False, "10.0.0.1:7001"),
    Node("10.0.0.5:7005", True, False),
)


def test_the_nodes_of_a_cluster() -> None:
    """Shards 1 and 3 are in slots 9687 and 1813."""
    status = replace(STATUS, nodes=NODES, numbers=range(4))
    lines = plain(status).splitlines()
    assert [line.split() for line in lines[6:9]] == [
        ["master", "state", "replicas"],
        ["10.0.0.1:7001", "up", "1", "of", "2", *lines[7].partition("2  ")[2].split()],
        ["10.0.0.2:7002", "unreachable", "0", *lines[8].partition("0  ")[2].split()],
    ]
    shown = [line.partition("shard")[2].removeprefix("s ").split(", ") for line in lines[7:9]]
    assert sorted(shown[0] + shown[1]) == ["0", "1", "2", "3"]
    assert lines[9:11] == [
        "10.0.0.4:7004, a replica of 10.0.0.1:7001, is unreachable",
        "10.0.0.5:7005, a master without slots, is unreachable",
    ]
    first, second, *_ = json.loads(status.as_json())["nodes"]
    assert (first["address"], first["role"], first["state"]) == ("10.0.0.1:7001", "master", "up")
    assert sorted(first["shards"] + second["shards"]) == [0, 1, 2, 3]


@pytest.mark.parametrize(("nodes", "code"), [(NODES, 1), ((NODES[0], NODES[2]), 0), (None, 0)])
def test_an_unreachable_node_sets_the_exit_code(nodes: Sequence[Node] | None, code: int) -> None:
    assert replace(STATUS, receivers=[], nodes=nodes).exit_code == code


def test_nodes_that_can_not_be_read_are_reported() -> None:
    error = "this user has no permissions to run the 'cluster|nodes' command"
    status = replace(STATUS, receivers=[], nodes_error=error)
    assert "nodes of the cluster: can't be read: this user has no permissions" in plain(status)
    assert status.exit_code == 0


def test_of_many_masters_those_with_unreachable_nodes_come_first() -> None:
    slots = [(range(number, number + 1),) for number in range(100)]
    masters = [Node(f"10.0.0.{number}:6379", True, number != 90, None, own) for number, own in enumerate(slots)]
    lines = plain(replace(STATUS, nodes=masters, numbers=())).splitlines()
    assert lines[7].split()[:2] == ["10.0.0.90:6379", "unreachable"]
    assert "and 88 more masters" in lines


def test_where_a_shard_can_not_be_read_the_processes_are_still_shown() -> None:
    status = replace(STATUS, now=None, before=(), nodes=NODES, numbers=range(4))
    lines = plain(status).splitlines()
    assert any(line.startswith("receiver-0 ") for line in lines)
    assert lines[-1] == "streams: not known while one of them can't be read"
