"""Scale-out in the benchmark: shards that are evenly divided, the ratios, cores, and the targets."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from redis.crc import key_slot

from bench.cluster import even_slots
from bench.measured import Measured, spent
from bench.process import cpu_seconds, halves, pin
from bench.scenarios.scale_out import KINDS, SERVER, SHARDS, THREE, Case, readings_of
from traksense_ingest.ops.embedded.redis_cluster import SLOTS
from traksense_ingest.shared.streams.keys import key_of


@pytest.mark.parametrize("masters", [1, 2, 3])
def test_each_master_has_as_many_shards(masters: int) -> None:
    ranges = even_slots(SHARDS, masters)
    assert [slot for slots in ranges for slot in slots] == list(range(SLOTS))
    shards = [key_slot(key_of(shard).encode()) for shard in range(SHARDS)]
    assert [sum(slot in slots for slot in shards) for slots in ranges] == [SHARDS // masters] * masters


def measured(writer: float, *nodes: float) -> Measured:
    """A million points, so that a CPU second is a µs a point; the writers take half a second when idle as long."""
    names = ["redis"] if len(nodes) == 1 else [f"redis-{number}" for number in range(len(nodes))]
    cpu = {"writer": writer + 0.5, "postgres": 4.0, **dict(zip(names, nodes, strict=True))}
    return Measured(1_000_000, 5.0, cpu, {}, {"writer": 0.1})


def test_ratios_compare_with_one_server_and_one_writer() -> None:
    found: dict[Case, Measured] = {
        (SERVER, 1): measured(2.0, 1.0),
        (SERVER, 6): measured(2.2, 1.1),
        (THREE, 1): measured(2.1, 0.3, 0.3, 0.4),
        (THREE, 6): measured(3.0, 0.4, 0.6, 0.2),
    }
    readings = {reading.name: round(reading.value, 3) for reading in readings_of(found, "writer", "drained")}
    name = "3 nodes, 6 writers: "
    assert {key.removeprefix(name): value for key, value in readings.items() if key.startswith(name)} == {
        "drained": 200_000,
        "CPU of writers": 3.0,
        "CPU of Redis": 1.2,
        "CPU of busiest node": 0.6,
        "CPU of PostgreSQL": 4.0,
        "busiest node, relative to an equal share": 1.5,
        "Redis, relative to 1 server": 1.091,
        "writers, relative to 1 server": 1.364,
        "writers, relative to 1 writer": 1.429,
    }
    assert readings["1 server, 6 writers: writers, relative to 1 writer"] == 1.1
    assert readings["1 server, 6 writers: writers when idle"] == 100
    assert "1 server, 1 writer: CPU of busiest node" not in readings


def test_several_services_are_compared_with_as_many_of_one_server() -> None:
    for kind in KINDS:
        assert kind.replicas or set(kind.writers) & set(SERVER.writers), kind
        assert set(kind.receivers) <= set(SERVER.receivers), kind


def test_a_role_that_had_no_part_is_left_out() -> None:
    assert spent({"writer": 1.0, "broker": 2.0}, {"writer": 1.5, "broker": 9.0}, "broker") == {"writer": 0.5}


def test_a_process_and_all_below_it_run_on_the_cores_they_get() -> None:
    both = halves()
    if both is None:
        pytest.skip("one core")
    assert both.servers | both.services == os.sched_getaffinity(0)
    assert not both.servers & both.services
    script = "import os, sys; sys.stdout.write(str(os.fork()) + '\\n'); sys.stdout.flush(); input()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        child = max(int(process.stdout.readline()) for _ in range(2))  # the child writes 0
        pin([process.pid], both.services)
        assert [os.sched_getaffinity(pid) for pid in (process.pid, child)] == [both.services, both.services]
        process.communicate(b"\n\n")


def test_cpu_is_measured_in_less_than_a_tick() -> None:
    for _ in range(5):
        before, own = cpu_seconds({"own": os.getpid()})["own"], time.process_time()
        while time.process_time() < own + 0.002:
            pass
        assert 0.002 <= cpu_seconds({"own": os.getpid()})["own"] - before < 0.5
