"""`status` on real servers: streams, consumers, rates, and what is wrong."""

from __future__ import annotations

import asyncio
import re

import pytest

from tests.support.stack import Stack, telem
from tests.support.status_reports import DEPENDENCIES, appended, heartbeat_of, report_of, states_of
from tests.support.waiting import eventually
from traksense_ingest.ops.status.collector import StatusCollector
from traksense_ingest.ops.status.dependency import State
from traksense_ingest.ops.status.screen import plain
from traksense_ingest.shared import config
from traksense_ingest.shared.streams.keys import GROUP, key_of


async def test_all_is_well(stack: Stack) -> None:
    receiver, writer = await stack.receiver(MQTT_CLIENT_ID="edge-0"), await stack.writer()
    await stack.publish(*(telem(second=second) for second in range(20)), ("traksense/t/s/dev/telem", b"poison"))
    await stack.has_rows("ts_measure", 20)
    await eventually(lambda: appended(stack, "edge-0", 21))
    checked = await stack.status()
    assert (checked.returncode, checked.stderr) == (0, ""), checked.stdout
    lines = checked.stdout.splitlines()
    assert (lines[0].startswith("No problems"), lines[1]) == (True, "")
    assert [line.split()[:2] for line in lines[2:5]] == [[dependency, "up"] for dependency in DEPENDENCIES]
    assert "ingest:{0}: 21 added = 20 stored + 1 dead-lettered + 0 here (0 duplicate rows)" in lines
    assert max(map(len, lines)) <= 80
    code, report = await report_of(stack)
    assert (code, report["ok"], report["balanced"], report["verdict"]["level"]) == (0, True, True, "good")
    (shown,) = report["receivers"]
    assert (shown["client_id"], shown["broker"], shown["waiting"], shown["appended"]) == ("edge-0", True, False, 21)
    assert len(report["shards"][0]["consumers"]) == 2
    await eventually(lambda: _says_its_figures(stack), "the writer's next heartbeat has its figures")
    assert re.search(
        r"^writer +rows/s +p50 +p99 +heartbeat\n\S+ +[0-9.]+ +(\d|>).* ago$", (await stack.status()).stdout, re.M
    )
    assert "unreachable" not in receiver.log + writer.log


async def _says_its_figures(stack: Stack) -> bool:
    """The rows that it stored a second, and their latency."""
    (writer,) = (await report_of(stack))[1]["writers"]
    return bool(writer["rows_per_s"] and writer["p50_s"] and writer["p99_s"] >= writer["p50_s"])


async def test_thousands_of_consumers_take_a_few_lines(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """What writers that crash and are started again leave behind."""
    await stack.redis.xgroup_create(key_of(0), GROUP, "0", mkstream=True)
    async with stack.redis.pipeline(transaction=False) as pipeline:
        for number in range(3285):
            pipeline.xgroup_createconsumer(key_of(0), GROUP, f"edge-{number}-abcdef-0")
        await pipeline.execute()
    for _ in range(12):
        await stack.append(*telem())
    await stack.redis.xreadgroup(GROUP, "edge-7-abcdef-0", {key_of(0): ">"})
    shown = await stack.status()
    assert "… and 3265 more writers, with 0 pending" in shown.stdout
    assert len(shown.stdout.splitlines()) < 50
    monkeypatch.setattr("traksense_ingest.ops.status.processes.IDLE_MAX_S", -1.0)  # every consumer counts as gone
    settings = config.load(mqtt_url=stack.broker.url, redis_url=stack.redis_server.url, database_url=stack.database_url)
    async with StatusCollector(settings, 30.0) as collector:
        text = plain(await collector.collect(0))
    assert "3285 consumers of writers that are gone, idle for" in text
    assert ": 12 pending" in text


async def test_what_is_skipped_is_not_asked(stack: Stack) -> None:
    nowhere = {"MQTT_URL": "mqtt://127.0.0.1:1", "DATABASE_URL": "postgresql://127.0.0.1:1/x"}
    code, report = await report_of(stack, "--skip", "broker", "--skip", "database", **nowhere)
    assert (code, report["shards"][0]["lost"]) == (0, None)
    assert states_of(report) == {"broker": "skipped", "redis": "up", "database": "skipped"}


async def test_a_full_stream_and_who_waits_for_room(stack: Stack) -> None:
    await stack.receiver(INGEST_QUEUE_MAX=5)
    publishing = asyncio.create_task(stack.publish(*(telem(second=second) for second in range(20))))
    await eventually(lambda: waits(stack))
    checked = await stack.status(INGEST_QUEUE_MAX=5)
    assert re.search(r"^traksense-receiver .* waits for room$", checked.stdout, re.MULTILINE), checked.stdout
    assert re.search(r"^ingest:\{0\} +5 +100% .* full$", checked.stdout, re.MULTILINE), checked.stdout
    assert checked.returncode == 0  # nothing is lost
    await stack.writer()
    await publishing
    await stack.has_rows("ts_measure", 20)


async def waits(stack: Stack) -> bool:
    return bool((await heartbeat_of(stack, "traksense-receiver")).get("waiting"))


async def test_rates_are_those_of_the_sample(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, url in stack.environment.items():
        monkeypatch.setenv(name, url)
    async with StatusCollector(config.load(), 30) as collector:
        first = await collector.collect(0)
        for second in range(40):
            await stack.append(*telem(second=second))
        second_ = await collector.collect(0)
    (shard,) = second_.shards
    assert [dependency.state for dependency in first.dependencies] == [State.UP] * 3
    assert second_.rate(shard, "added") == pytest.approx(40 / second_.seconds)
    assert second_.forecast(shard).trend in ("filling", "keeping_up")


async def test_a_wrong_variable_is_one_line(stack: Stack) -> None:
    checked = await stack.status(INGEST_SHARDS="many")
    assert (checked.returncode, checked.stdout, checked.stderr.count("\n")) == (2, "", 1)
    assert "INGEST_SHARDS='many' is not allowed; allowed: how many streams, 1 to 1024" in checked.stderr
