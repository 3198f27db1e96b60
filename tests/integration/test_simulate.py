"""A simulated fleet on a real broker: all of it arrives, in order, over restarts; what it expects is stored."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from ops.embedded import Broker, Server, free_port
from ops.simulate.fleet import Plan, fleet
from ops.simulate.publish import publish
from ops.simulate.tally import Tally
from shared.config import Settings, load
from shared.outage import Misconfigured
from tests.support.services import Services
from tests.support.stack import Stack
from tests.support.waiting import eventually

START = datetime(2025, 10, 7, 15, 30, tzinfo=UTC)
PLAN = Plan(START, seed=7, rate=20_000.0, messages=2000, bad=0.05)
COMMAND = "from ops.simulate.command import simulate; simulate()"
ROOT = Path(__file__).parents[2]

Received = list[tuple[str, bytes]]


@pytest.fixture
async def broker(services: Services, tmp_path: Path) -> AsyncIterator[Server]:
    with services.broker(tmp_path) as server:
        yield server


@asynccontextmanager
async def listening(broker: Server, received: Received) -> AsyncIterator[None]:
    """Append all that the broker delivers to `received`."""

    async def listen() -> None:
        async for message in client.messages:
            received.append((message.topic.value, bytes(message.payload)))

    async with aiomqtt.Client("127.0.0.1", broker.port, identifier="listener", timeout=30) as client:
        await client.subscribe("traksense/#", qos=1)
        task = asyncio.create_task(listen())
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def settings_of(broker: Server) -> Settings:
    return load(mqtt_url=broker.url)


def by_device(messages: Received) -> dict[str, list[bytes]]:
    """Payloads in order, by the topic without its kind."""
    devices = defaultdict(list)
    for topic, payload in messages:
        devices[topic.rpartition("/")[0]].append(payload)
    return devices


@asynccontextmanager
async def command(*arguments: str, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The command as a process of its own, that ends with the test."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        COMMAND,
        *arguments,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_every_message_arrives_once_and_each_devices_in_order(broker: Server) -> None:
    received: Received = []
    async with listening(broker, received):
        tally = Tally()
        report = await publish(settings_of(broker), PLAN, 3, tally, asyncio.Event(), pytest.fail)
        await eventually(lambda: len(received) >= 2000)
    assert by_device(received) == by_device([(m.topic, m.payload) for m in fleet(PLAN)])
    assert (tally.published, tally.sent_again, tally.unconfirmed) == (2000, 0, 0)
    assert report.seconds > 0


async def test_it_speaks_mqtt_5(tmp_path: Path) -> None:
    with Broker(tmp_path, free_port(), free_port()) as broker:
        settings, tally = load(mqtt_url=broker.v5_url, mqtt_protocol="5"), Tally()
        await publish(settings, PLAN, 2, tally, asyncio.Event(), pytest.fail)
    assert (tally.published, tally.refused) == (2000, {})


async def test_a_brokers_crash_loses_nothing_and_is_told_once(broker: Server) -> None:
    said: list[str] = []
    tally, plan = Tally(), Plan(START, seed=7, rate=2000.0, messages=4000)
    running = asyncio.create_task(publish(settings_of(broker), plan, 2, tally, asyncio.Event(), said.append))
    await eventually(lambda: tally.published > 500)
    broker.kill()
    await eventually(lambda: said)
    broker.start()
    await running
    assert tally.published == 4000
    assert tally.unconfirmed == 0
    assert "away" in said[0]
    assert "there" in said[-1]


async def test_it_waits_for_a_broker_and_counts_from_when_it_is_there(tmp_path: Path) -> None:
    said: list[str] = []
    broker, stop, tally = Broker(tmp_path, free_port()), asyncio.Event(), Tally()
    plan = Plan(START, seed=7, rate=1000.0, duration=0.1)
    running = asyncio.create_task(publish(settings_of(broker), plan, 1, tally, stop, said.append, starts_now=True))
    await eventually(lambda: said)
    before = datetime.now(UTC)
    with broker:
        await running
    assert tally.published == 100
    assert tally.first is not None
    assert tally.first > before
    assert len(said) == 2


async def test_a_stop_before_there_is_a_broker_ends_it(tmp_path: Path) -> None:
    stop, tally = asyncio.Event(), Tally()

    def say(_line: str) -> None:
        stop.set()

    nowhere = load(mqtt_url=f"mqtt://127.0.0.1:{free_port()}")
    report = await publish(nowhere, PLAN, 2, tally, stop, say)
    assert report.tally.published == 0


@pytest.fixture
async def refusing() -> AsyncIterator[int]:
    """The port of a broker that knows nobody."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"\x20\x02\x00\x05")  # CONNACK: not authorized
        await writer.drain()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1")
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_refused_credentials_end_it(refusing: int) -> None:
    settings = load(mqtt_url=f"mqtt://127.0.0.1:{refusing}")
    with pytest.raises(Misconfigured, match="Not authorized"):
        await publish(settings, PLAN, 2, Tally(), asyncio.Event(), pytest.fail)


async def test_the_command_says_so_in_one_line_with_exit_code_2(refusing: int) -> None:
    async with command("--messages", "1", MQTT_URL=f"mqtt://user:secret@127.0.0.1:{refusing}") as process:
        out, err = await process.communicate()
    assert (process.returncode, out) == (2, b"")
    assert err.count(b"\n") == 1
    assert b"secret" not in err


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it_with_its_summary(broker: Server, signum: signal.Signals) -> None:
    received: Received = []
    async with (
        listening(broker, received),
        command("--rate", "200", "--json", "--seed", "7", MQTT_URL=broker.url) as process,
    ):
        await eventually(lambda: len(received) > 20)
        process.send_signal(signum)
        out, err = await process.communicate()
        summary = json.loads(out)
        await eventually(lambda: len(received) >= summary["published"])
    assert (process.returncode, err) == (0, b"")
    assert len(received) == summary["published"]
    assert summary["unconfirmed"] == 0


async def test_what_it_expects_is_what_the_pipeline_stores(stack: Stack) -> None:
    await stack.receiver()
    await stack.writer()
    async with command(
        "--messages", "1500", "--rate", "2000", "--bad", "0.1", "--tenants", "2", "--json", MQTT_URL=stack.broker.url
    ) as process:
        out, _ = await process.communicate()
    summary = json.loads(out)
    rows_query, reasons_query = summary["sql"]
    await eventually(is_stored(stack, rows_query), lambda: f"{summary['expected_rows']} stored")
    reasons = {row["error_class"]: row["count"] for row in await stack.fetch(reasons_query)}
    assert reasons == summary["bad"]["reasons"]
    for table, expected in summary["expected_rows"].items():
        assert await stack.count(table) == expected


def is_stored(stack: Stack, query: str) -> Callable[[], Any]:
    async def check() -> bool:
        return all(row["stored"] == row["expected"] for row in await stack.fetch(query))

    return check
