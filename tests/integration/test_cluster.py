"""Both services and the commands on a Redis Cluster: nodes die, slots move, and nothing is lost or stored twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.imports import history, json_lines, succeeds
from tests.support.process import Process
from tests.support.redis_cluster import RedisCluster, ask, kill_and_wait, redis_cluster
from tests.support.services import Services
from tests.support.stack import Stack, telem
from tests.support.waiting import eventually
from traksense_ingest.ops.embedded import free_port
from traksense_ingest.shared.streams.client import connect, left_behind
from traksense_ingest.shared.streams.keys import key_of

SHARDS = 6
DEVICES = 20


@pytest.fixture
async def cluster(services: Services, tmp_path: Path) -> AsyncIterator[RedisCluster]:
    async with redis_cluster(services, tmp_path) as cluster:
        yield cluster


async def start(stack: Stack, cluster: RedisCluster, **variables: object) -> Process:
    """One of each service; returns the receiver."""
    common = {"REDIS_URL": cluster.url, "INGEST_SHARDS": SHARDS, **variables}
    await stack.writer(**common)
    return await stack.receiver(**common)


async def publish(stack: Stack, first: int, count: int) -> None:
    await stack.publish(
        *(telem(second=second, device=f"dev-{second % DEVICES}") for second in range(first, first + count))
    )


async def test_all_shards_are_stored_and_seen(stack: Stack, cluster: RedisCluster) -> None:
    receiver = await start(stack, cluster)
    assert receiver.log.count("INGEST_REPLICAS is 0: if a replica of this Redis is promoted") == 1
    await publish(stack, 0, 200)
    await stack.has_rows("ts_measure", 200)
    status = await stack.status("--json", REDIS_URL=cluster.url, INGEST_SHARDS=SHARDS)
    assert status.returncode == 0, status.stdout + status.stderr
    report = json.loads(status.stdout)
    assert sum(shard["stored"] for shard in report["shards"]) == 200
    assert sum(shard["stored"] > 0 for shard in report["shards"]) > 3, "more shards than one have worked"
    assert report["balanced"], report
    masters = [node for node in report["nodes"] if node["role"] == "master"]
    assert (len(masters), len(report["nodes"])) == (3, 6)
    assert sorted(shard for node in masters for shard in node["shards"]) == [*range(SHARDS)]
    shown = (await stack.status(REDIS_URL=cluster.url, INGEST_SHARDS=SHARDS)).stdout.splitlines()
    assert f"{SHARDS} streams: 200 added = 200 stored + 0 dead-lettered + 0 here (0 duplicate rows)" in shown
    assert len(shown) < 26, "\n".join(shown)
    cluster.replicas[0].kill()
    dead = f"{cluster.replicas[0].host}:{cluster.replicas[0].port}, a replica of "
    await eventually(lambda: _is_shown(stack, cluster, dead))


async def _is_shown(stack: Stack, cluster: RedisCluster, line: str) -> bool:
    """Whether `status` has a line that begins so, and ends with 1."""
    status = await stack.status(REDIS_URL=cluster.url, INGEST_SHARDS=SHARDS)
    return status.returncode == 1 and any(each.startswith(line) for each in status.stdout.splitlines())


async def test_dead_letters_are_replayed_to_their_shards(stack: Stack, cluster: RedisCluster) -> None:
    await start(stack, cluster)
    await stack.publish(*((f"traksense/acme/site/dev-{number}/telem", b"{") for number in range(30)))
    await stack.has_rows("ingest_errors", 30)
    _, payload = telem()
    await stack.execute(f"UPDATE ingest_errors SET payload = '{payload.decode()}'")
    replayed = await stack.command("dlq", "replay", "--all", REDIS_URL=cluster.url, INGEST_SHARDS=SHARDS)
    assert replayed.returncode == 0, replayed.stderr
    await stack.has_rows("ts_measure", 30)


async def test_history_is_imported_to_the_shards_of_its_devices(
    stack: Stack, cluster: RedisCluster, tmp_path: Path
) -> None:
    file = tmp_path / "history.jsonl"
    file.write_text(json_lines(history(60)))
    variables: dict[str, Any] = {"REDIS_URL": cluster.url, "INGEST_SHARDS": SHARDS}
    assert "30 messages imported, 30 left" in await succeeds(stack, file, "--limit", 30, **variables)
    assert "30 messages imported; 30 were imported before" in await succeeds(stack, file, **variables)
    await start(stack, cluster)
    await stack.has_rows("ts_measure", 48)
    await stack.has_rows("ingest_errors", 12)


@pytest.mark.long
async def test_a_replay_waits_for_the_promotion_of_a_replica(stack: Stack, cluster: RedisCluster) -> None:
    await start(stack, cluster)
    await stack.publish(*((f"traksense/acme/site/dev-{number}/telem", b"{") for number in range(60)))
    await stack.has_rows("ingest_errors", 60)
    _, payload = telem()
    await stack.execute(f"UPDATE ingest_errors SET payload = '{payload.decode()}'")
    variables = {"REDIS_URL": cluster.url, "INGEST_SHARDS": SHARDS}
    replaying = asyncio.create_task(stack.command("dlq", "replay", "--all", "--rate", "10", **variables))
    await eventually(lambda: _more_rows(stack, 0), "it has begun")
    await kill_and_wait(cluster, 0)
    replay = await replaying
    assert replay.returncode == 0, replay.stderr
    await stack.has_rows("ts_measure", 60)


async def test_shards_of_a_run_with_more_of_them_are_drained(stack: Stack, cluster: RedisCluster) -> None:
    async with connect(cluster.url) as clients:
        for shard in (3, 7, 500):
            topic, payload = telem(second=shard, device=f"dev-{shard}")
            fields = {"topic": topic, "payload": payload, "received_at": 1_700_000_000_000}
            await clients.of(key_of(shard)).xadd(key_of(shard), fields)  # type: ignore[arg-type]
        assert await left_behind(clients, 1) == [3, 7, 500]
        await stack.writer(REDIS_URL=cluster.url)
        await stack.has_rows("ts_measure", 3)


async def test_a_master_is_killed_under_load(stack: Stack, cluster: RedisCluster) -> None:
    """With a replica that must have each message, none is lost; which are appended twice, are stored once."""
    await start(stack, cluster, INGEST_REPLICAS=1)
    await publish(stack, 0, 50)
    publishing = asyncio.create_task(publish(stack, 50, 500))
    await eventually(lambda: _more_rows(stack, 60), "it is under load")
    killed = await kill_and_wait(cluster, 0)
    killed.start()  # it becomes the replica of its replica
    await publishing
    await stack.has_rows("ts_measure", 550)
    assert await stack.fetchval("SELECT count(DISTINCT ts) FROM ts_measure") == 550
    assert await stack.count("ingest_errors") == 0


async def test_a_slot_moves_under_load(stack: Stack, cluster: RedisCluster) -> None:
    await start(stack, cluster)
    await publish(stack, 0, 50)
    publishing = asyncio.create_task(publish(stack, 50, 500))
    await eventually(lambda: _more_rows(stack, 60), "it is under load")
    for shard in range(SHARDS):
        source = await cluster.master_of(shard)
        await cluster.move(shard, next(node for node in cluster.masters if node is not source))
    await publishing
    await stack.has_rows("ts_measure", 550)
    assert await stack.fetchval("SELECT count(DISTINCT ts) FROM ts_measure") == 550
    status = await stack.status("--json", REDIS_URL=cluster.url, INGEST_SHARDS=SHARDS)
    assert json.loads(status.stdout)["balanced"], status.stdout


async def test_a_slot_that_no_node_serves_is_waited_for(stack: Stack, cluster: RedisCluster) -> None:
    for node in cluster.nodes:
        await ask(node, "CONFIG", "SET", "cluster-require-full-coverage", "no")
    master = await cluster.master_of(0)
    replica = cluster.replicas[cluster.masters.index(master)]
    receiver = stack.start("receiver", REDIS_URL=cluster.url)
    await receiver.ready()
    replica.kill()
    master.kill()
    await receiver.says("redis is unreachable")
    await eventually(lambda: receiver.get("/readyz")[0] == 503)
    await eventually(lambda: _is_shown(stack, cluster, f"{master.host}:{master.port}  unreachable"))
    master.start()
    await eventually(lambda: receiver.get("/readyz")[0] == 200, timeout=60)
    assert "Traceback" not in receiver.log


async def test_a_cluster_without_a_reachable_node_is_waited_for(stack: Stack) -> None:
    port = free_port()
    receiver = stack.start("receiver", REDIS_URL=f"redis+cluster://u:s3cret@127.0.0.1:{port}")
    await receiver.says(f"127.0.0.1:{port}")
    await receiver.keeps_trying("redis_error")
    assert "s3cret" not in receiver.log


async def test_a_server_that_is_no_cluster_is_said_so(stack: Stack) -> None:
    process = stack.start("receiver", REDIS_URL=stack.redis_server.url.replace("redis://", "redis+cluster://"))
    assert await asyncio.to_thread(process.wait) == 2
    assert "REDIS_URL: redis: this is not a node of a Redis Cluster; write redis://" in process.log


async def _more_rows(stack: Stack, rows: int) -> bool:
    return await stack.count("ts_measure") > rows
