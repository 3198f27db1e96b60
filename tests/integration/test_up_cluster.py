"""`traksense-ingest up --cluster`: six nodes on one machine, with several streams and writers."""

from __future__ import annotations

import json
import os
import re
import signal

import pytest

from tests.support.up import Up, children_in, is_service
from tests.support.waiting import eventually

NODES = 6


def exported(up: Up) -> dict[str, str]:
    """The variables of the last line that says what other commands need."""
    line = up.said.rpartition("export ")[2].splitlines()[0]
    return dict(word.split("=", 1) for word in line.split())


def nodes_of(up: Up) -> dict[str, int]:
    """The process of each node, by its directory."""
    return {
        name: pid
        for name in (f"redis-{number}" for number in range(1, NODES + 1))
        for pid in children_in(up.directory)
        if os.readlink(f"/proc/{pid}/cwd").endswith(f"/{name}")
    }


async def stores(up: Up, rows: int) -> None:
    """So many more are simulated and stored."""
    before = await up.count("ts_measure")
    published = up.command("simulate", "--messages", "200", "--rate", "500", "--devices", "40", "--json")
    assert published.returncode == 0, published.stderr
    expected = json.loads(published.stdout)["expected_rows"]["ts_measure"]
    assert expected >= rows

    async def are_there() -> bool:
        return await up.count("ts_measure") >= before + int(expected)

    await eventually(are_there, lambda: up.said)
    assert await up.count("ts_measure") == before + expected


@pytest.mark.long
async def test_a_cluster_of_six_nodes_with_two_writers(up: Up) -> None:
    up.start("--cluster", "--writers", "2")
    await up.says("nodes     redis-cli -c -h 127.0.0.1 -p")
    variables = exported(up)
    ports = ",".join(f"127.0.0.1:{up.ports['UP_REDIS_PORT'] + number}" for number in range(NODES))
    assert variables["REDIS_URL"] == f"redis+cluster://{ports}"
    assert (variables["INGEST_SHARDS"], variables["INGEST_REPLICAS"]) == ("9", "1")
    assert len([pid for pid in children_in(up.directory) if is_service(pid, "writer")]) == 2
    await stores(up, 200)
    checked = up.command("status", "--json", "--sample", "0", "--timeout", "30", **variables)
    report = json.loads(checked.stdout)
    assert (checked.returncode, report["balanced"], len(report["writers"])) == (0, True, 2), checked.stdout
    assert sum(shard["stored"] > 0 for shard in report["shards"]) > 4

    before = nodes_of(up)
    os.kill(before["redis-1"], signal.SIGKILL)
    await up.says("redis-1 was killed by signal 9: restarting it")
    await eventually(lambda: nodes_of(up).get("redis-1") not in (None, before["redis-1"]))
    await stores(up, 200)

    assert up.stop() == 0, up.said
    assert re.findall(r"stopping (redis-\d|writer-\d) …", up.said) == [
        "writer-1",
        "writer-2",
        *(f"redis-{number}" for number in range(NODES, 0, -1)),
    ]


@pytest.mark.long
async def test_its_data_are_found_again_on_other_ports(up: Up) -> None:
    up.start("--cluster", "--shards", "3")
    await up.says("export ")
    await stores(up, 200)
    first = exported(up)
    assert first["INGEST_SHARDS"] == "3"
    assert up.stop() == 0, up.said

    up.ports["UP_REDIS_PORT"] += 3  # three of the new ports were other nodes' ones
    up.start("--cluster", "--shards", "3")
    await up.says("export ")
    second = exported(up)
    assert first["REDIS_URL"] != second["REDIS_URL"]
    await stores(up, 200)
    checked = up.command("status", "--json", "--sample", "0", "--timeout", "30", **second)
    report = json.loads(checked.stdout)
    assert (checked.returncode, report["balanced"]) == (0, True), checked.stdout
    assert sum(shard["stored"] for shard in report["shards"]) == 400, "the streams' counts are those of both runs"
    assert up.stop() == 0, up.said


@pytest.mark.long
async def test_a_start_that_was_interrupted_begins_again(up: Up) -> None:
    up.start("--cluster")
    await up.says("waiting for the nodes of the Redis Cluster")
    up.process.kill()
    up.process.wait()
    await eventually(lambda: not children_in(up.directory), "no child outlives it")
    up.start("--cluster")
    await up.says("export ")
    await stores(up, 200)
    assert up.stop() == 0, up.said


def test_another_redis_and_a_cluster_exclude_each_other(up: Up) -> None:
    up.start("--cluster", REDIS_URL="redis://127.0.0.1:6379/0")
    assert up.process.wait(60) == 2
    assert up.said.splitlines()[-1] == (
        "Error: --cluster: not together with REDIS_URL. See: traksense-ingest up --help"
    )
