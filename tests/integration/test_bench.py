"""Each scenario of the benchmark on real servers, as small as can be: what it measures there means nothing."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.cluster import with_cluster
from bench.drain import FIRST_BATCHES, LANES, drain
from bench.scenarios import SCENARIOS
from bench.scenarios.scale_out import SHARDS
from bench.servers import NotEmpty, Own, running
from bench.shape import Shape
from bench.stage import Stage
from bench.telegraf import Telegraf
from tests.support.services import DEBIAN, EMBEDDED, Services, missing
from tests.support.stack import Stack
from traksense_ingest.shared.streams.client import connect
from traksense_ingest.shared.streams.keys import key_of

SCALE = "0.0005"
COUNT = {
    "end-to-end": 14,
    "receiver": 10,
    "writer": 6,
    "latency": 8,
    "latest": 9,  # without TimescaleDB
    "growth": 33,
    "shape": 18,
    "decode": 13,
    "scale-out": 108,
    "redis": 8,
    "database": 14,  # without TLS
    "console": 64,
    "peers": 15,
}  # figures


def measure(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", "--rounds", "1", "--scale", SCALE, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def figures_in(path: Path) -> dict[str, Any]:
    return {figure["name"]: figure for figure in json.loads(path.read_text())["figures"]}


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in SCENARIOS if name not in ("end-to-end", "peers")])
def test_a_scenario_runs_to_its_end(name: str, tmp_path: Path) -> None:
    runs_to_its_end(name, EMBEDDED, tmp_path)


@pytest.mark.long
def test_a_scenario_runs_on_these_servers(services: Services, tmp_path: Path) -> None:
    runs_to_its_end("end-to-end", services, tmp_path)


@pytest.mark.long
@pytest.mark.skipif(not Telegraf.installed(), reason="not installed here: telegraf")
def test_telegraf_stores_the_same_rows_in_the_same_table(services: Services, tmp_path: Path) -> None:
    runs_to_its_end("peers", services, tmp_path)


@pytest.mark.long
@pytest.mark.skipif(bool(missing(DEBIAN)), reason="not installed here: Debian's servers, of which PostgreSQL has TLS")
def test_tls_is_measured_where_postgresql_has_it(tmp_path: Path) -> None:
    done = measure("database", "--services", "debian", "--json", tmp_path / "figures.json")
    assert done.returncode == 0, done.stderr
    assert {"TLS", "CPU with TLS, of a Unix socket's"} <= set(figures_in(tmp_path / "figures.json"))


@pytest.mark.long
def test_a_peer_that_is_not_installed_is_not_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", "")
    done = measure("peers", "--json", tmp_path / "figures.json")
    assert done.returncode == 0, done.stderr
    assert "peers was not measured: there is no telegraf on the PATH" in done.stdout


def runs_to_its_end(name: str, services: Services, tmp_path: Path) -> None:
    done = measure(name, "--services", services.name, "--json", tmp_path / "figures.json")
    assert done.returncode == 0, done.stderr
    figures = figures_in(tmp_path / "figures.json")
    assert len(figures) == COUNT[name], list(figures)
    assert set(SCENARIOS[name].targets) <= set(figures)
    assert all(math.isfinite(figure["median"]) for figure in figures.values())
    rates = [figure for figure in figures.values() if figure["unit"] == "points/s"]
    assert all(figure["median"] > 0 for figure in rates)
    assert name in done.stdout
    assert str(tmp_path) not in (tmp_path / "figures.json").read_text()


@pytest.mark.long
async def test_servers_of_ones_own_are_used_and_left_as_they_were(stack: Stack, tmp_path: Path) -> None:
    await stack.execute("INSERT INTO device VALUES ('t', 'd', 's', NULL, now(), now())")
    await stack.redis.set("mine", "1")
    urls = ("--mqtt-url", stack.broker.url, "--redis-url", stack.redis_server.url, "--database-url", stack.database_url)
    done = measure("writer", *urls, "--json", tmp_path / "figures.json")
    assert done.returncode == 0, done.stderr
    figures = figures_in(tmp_path / "figures.json")
    assert "CPU of writer" in figures
    assert "CPU of postgres" not in figures
    assert (await stack.redis.keys()) == [b"mine"]
    assert (await stack.count("device"), await stack.count("ts_measure")) == (1, 0)
    assert await stack.fetchval("SELECT count(*) FROM pg_database WHERE datname LIKE 'traksense_bench%'") == 0


async def test_a_redis_with_streams_is_left_alone(stack: Stack, tmp_path: Path) -> None:
    await stack.append("traksense/t/s/d/telem", b"{}")
    urls = Own(stack.broker.url, stack.redis_server.url, stack.database_url)
    with pytest.raises(NotEmpty):
        async with running(EMBEDDED, urls, tmp_path):
            raise AssertionError("it started")
    assert await stack.backlog() == 1
    assert await stack.fetchval("SELECT count(*) FROM pg_database WHERE datname LIKE 'traksense_bench%'") == 0


@pytest.mark.long
async def test_writers_drain_what_was_set_aside_and_find_nothing_lost(
    stack: Stack, services: Services, tmp_path: Path
) -> None:
    """On a cluster, each node of which has as many streams."""
    urls, shape = Own(stack.broker.url, stack.redis_server.url, stack.database_url), Shape(120)
    async with (
        running(services, urls, tmp_path) as servers,
        with_cluster(servers, tmp_path, SHARDS, masters=3) as cluster,
        connect(cluster.redis_url) as clients,
        Stage.opened(cluster, tmp_path) as stage,
    ):
        by_server = await clients.by_server([key_of(shard) for shard in range(SHARDS)])
        assert [len(streams) for _, streams in by_server] == [2, 2, 2]
        await stage.fill(shape, SHARDS)
        drained = await drain(stage, shape, writers=1, shards=SHARDS)
        assert (drained.points, await stage.backlog(SHARDS)) == (shape.rows, 0)
        assert len(drained.nodes) == 3
        assert await stage.rows() == shape.rows + 10 * FIRST_BATCHES * LANES * SHARDS
        (log,) = tmp_path.glob("writer-*/writer.log")
        assert log.read_text() == ""
