"""A simulated fleet on a real broker: all of it arrives, in order, over restarts; what it expects is stored."""

from __future__ import annotations

import asyncio
import json
import signal
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from tests.support.program import Program
from tests.support.services import Services
from tests.support.stack import Stack
from tests.support.waiting import eventually
from traksense_ingest.ops.embedded import Broker, Server, free_port
from traksense_ingest.ops.simulate.fleet import Plan, fleet
from traksense_ingest.ops.simulate.report import Tally
from traksense_ingest.ops.simulate.run import publish
from traksense_ingest.shared.config import Settings, load
from traksense_ingest.shared.errors import ConfigurationError

START = datetime(2025, 10, 7, 15, 30, tzinfo=UTC)
PLAN = Plan(START, seed=7, rate=20_000.0, messages=2000, bad=0.05)

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


class Command:
    """The command as a process of its own."""

    def __init__(self, directory: Path, *arguments: str, **environment: str) -> None:
        self._out, self._err = directory / "stdout", directory / "stderr"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = Program("ops", "simulate", *arguments, environment=environment, stdout=out, stderr=err)

    async def ended(self) -> tuple[int, str, str]:
        """Its return code and what it has said, when it has ended."""
        code = await asyncio.to_thread(self.process.wait, 60)
        return code, self._out.read_text(), self._err.read_text()


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Callable[..., Command]]:
    """Start a command that ends with the test."""
    started: list[Command] = []

    def start(*arguments: str, **environment: str) -> Command:
        started.append(Command(tmp_path, *arguments, **environment))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()


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


async def test_a_brokers_crash_loses_nothing_and_is_reported_once(broker: Server) -> None:
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
    assert "unreachable" in said[0]
    assert "reachable again" in said[-1]


async def test_a_broker_that_stops_again_and_again_leaves_no_stray_error(broker: Server) -> None:
    stray: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: stray.append(context))
    stop, tally = asyncio.Event(), Tally()
    plan = Plan(START, seed=7, devices=100, rate=8000.0)
    running = asyncio.create_task(publish(settings_of(broker), plan, 4, tally, stop, lambda _: None))
    for _ in range(6):
        enough = tally.published + 200
        await eventually(partial(_has_published, tally, enough), "it publishes again")
        await asyncio.to_thread(broker.stop)
        broker.start()
    stop.set()
    await running
    assert stray == []


def _has_published(tally: Tally, count: int) -> bool:
    return tally.published >= count


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
    with pytest.raises(ConfigurationError, match="Not authorized"):
        await publish(settings, PLAN, 2, Tally(), asyncio.Event(), pytest.fail)


async def test_the_command_says_so_in_one_line_with_exit_code_2(refusing: int, command: Callable[..., Command]) -> None:
    code, out, err = await command("--messages", "1", MQTT_URL=f"mqtt://user:secret@127.0.0.1:{refusing}").ended()
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "secret" not in err


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it_with_its_summary(
    broker: Server, command: Callable[..., Command], signum: signal.Signals
) -> None:
    received: Received = []
    async with listening(broker, received):
        running = command("--rate", "200", "--json", "--seed", "7", MQTT_URL=broker.url)
        await eventually(lambda: len(received) > 20)
        running.process.send_signal(signum)
        code, out, err = await running.ended()
        summary = json.loads(out)
        await eventually(lambda: len(received) >= summary["published"])
    assert (code, err) == (0, "")
    assert len(received) == summary["published"]
    assert summary["unconfirmed"] == 0


async def test_what_it_expects_is_what_the_pipeline_stores(stack: Stack) -> None:
    await stack.receiver()
    await stack.writer()
    done = await stack.command(
        "simulate", "--messages", "1500", "--rate", "2000", "--bad", "0.1", "--tenants", "2", "--json"
    )
    summary = json.loads(done.stdout)
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
