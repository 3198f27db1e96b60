"""`status` with a broker, a Redis or a database that is down, silent or refuses."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiomqtt import MqttError

from tests.support import program
from tests.support.stack import Stack, telem
from tests.support.status_reports import DEPENDENCIES, report_of, states_of
from tests.support.waiting import eventually
from traksense_ingest.ops.status.collector import StatusCollector
from traksense_ingest.ops.status.dependency import check_broker
from traksense_ingest.shared import config

VARIABLES = {"broker": "MQTT_URL", "redis": "REDIS_URL", "database": "DATABASE_URL"}


async def stop_broker(stack: Stack) -> None:
    stack.broker.stop()


async def stop_redis(stack: Stack) -> None:
    stack.redis_server.stop()


async def refuse_connections(stack: Stack) -> None:
    await stack.refuse_connections()


STOP = {"broker": stop_broker, "redis": stop_redis, "database": refuse_connections}


@pytest.mark.parametrize("dependency", DEPENDENCIES)
async def test_a_dependency_that_is_unreachable_is_a_line_and_the_rest_is_shown(stack: Stack, dependency: str) -> None:
    await stack.append(*telem())
    stop: Callable[[Stack], Awaitable[None]] = STOP[dependency]
    await stop(stack)
    checked = await stack.status()
    assert (checked.returncode, checked.stderr) == (1, "")
    lines = dict(zip(DEPENDENCIES, checked.stdout.splitlines()[2:5], strict=True))
    states = {name: line.split()[1] for name, line in lines.items()}
    expected = dict.fromkeys(DEPENDENCIES, "up") | {dependency: "unreachable"}
    assert states == expected, checked.stdout
    assert ("1 added = " in checked.stdout) is (dependency != "redis")
    code, report = await report_of(stack)
    assert (code, report["ok"], states_of(report)) == (1, False, expected)
    assert (report["balanced"], len(report["shards"])) == ((None, 0) if dependency == "redis" else (True, 1))
    if dependency == "database":
        await stack.allow_connections()


async def test_each_line_says_what_to_do_next(stack: Stack) -> None:
    nowhere = {VARIABLES[dependency]: url_of(dependency, 1) for dependency in DEPENDENCIES}
    checked = await stack.status(**nowhere)
    lines = checked.stdout.splitlines()[2:]
    assert (checked.returncode, checked.stderr, lines[3]) == (1, "", "")
    for dependency, line in zip(DEPENDENCIES, lines, strict=False):
        assert re.match(rf"{dependency} +unreachable +\S+://\S+: .*; start it, or fix {VARIABLES[dependency]}$", line)
    assert "secret" not in checked.stdout


class Silent:
    """A server that takes connections and says nothing, or one thing; remembers the first bytes of each."""

    def __init__(self, answer: bytes = b"") -> None:
        self.heard: list[bytes] = []
        self.closed = 0  # connections that the client has closed
        self._answer = answer
        self._connections: list[asyncio.StreamWriter] = []

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        """Its port."""
        server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for connection in self._connections:
                connection.close()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.append(writer)
        self.heard.append(await reader.read(1000))
        writer.write(self._answer)
        await reader.read()
        self.closed += 1


def url_of(dependency: str, port: int) -> str:
    """Where a dependency would be, with a password that nobody should see."""
    schemes = {"broker": "mqtt://u:secret@{}", "redis": "redis://{}/0", "database": "postgresql://u:secret@{}/x"}
    return schemes[dependency].format(f"127.0.0.1:{port}")


@pytest.mark.long
async def test_a_dependency_that_says_nothing_is_unreachable(stack: Stack) -> None:
    """Each of the three, while the others answer; the three are waited for at once."""

    async def is_reported(dependency: str) -> None:
        async with Silent().listening() as port:
            url = url_of(dependency, port)
            code, report = await report_of(stack, "--timeout", "5", **{VARIABLES[dependency]: url})
        assert report["dependencies"][dependency]["error"] == "no answer within 5 s; --timeout gives it longer"
        assert states_of(report) == dict.fromkeys(DEPENDENCIES, "up") | {dependency: "unreachable"}
        assert (code, bool(report["shards"])) == (1, dependency != "redis")

    await asyncio.gather(*map(is_reported, DEPENDENCIES))


async def test_with_nothing_but_its_defaults_each_silent_one_is_reported() -> None:
    servers = [Silent() for _ in DEPENDENCIES]
    async with contextlib.AsyncExitStack() as lifetimes:
        ports = [await lifetimes.enter_async_context(server.listening()) for server in servers]
        urls = {
            VARIABLES[dependency]: url_of(dependency, port)
            for dependency, port in zip(DEPENDENCIES, ports, strict=True)
        }
        done = await asyncio.to_thread(program.run, "ops", "status", environment=urls)
    lines = done.stdout.splitlines()[2:]
    assert (done.returncode, done.stderr, lines[3]) == (1, "", "")
    for dependency, line in zip(DEPENDENCIES, lines, strict=False):
        assert re.match(rf"{dependency} +unreachable .*: no answer within 2\.5 s; --timeout gives it longer$", line)
    assert all(server.heard for server in servers)


async def test_all_dependencies_are_asked_at_once() -> None:
    """Each of three that say nothing has been asked before any of them is given up."""
    servers = [Silent() for _ in DEPENDENCIES]
    async with contextlib.AsyncExitStack() as lifetimes:
        ports = [await lifetimes.enter_async_context(server.listening()) for server in servers]
        urls = {
            VARIABLES[dependency].lower(): url_of(dependency, port)
            for dependency, port in zip(DEPENDENCIES, ports, strict=True)
        }
        collector = await lifetimes.enter_async_context(StatusCollector(config.load(**urls), 600))
        looking = asyncio.create_task(collector.collect(0))
        await eventually(lambda: all(server.heard for server in servers))
        assert not looking.done()
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


async def test_the_broker_is_checked_without_touching_a_receivers_session(stack: Stack) -> None:
    server = Silent()
    async with server.listening() as port:
        await report_of(stack, "--timeout", "2", MQTT_URL=url_of("broker", port), MQTT_CLIENT_ID="receiver-0")
    (connect,) = server.heard
    assert connect[0] == 0x10
    assert connect[9] & 0x02, "clean session"
    assert b"status-" in connect
    assert b"receiver-0" not in connect


async def test_a_broker_that_says_nothing_is_hung_up_on() -> None:
    """Else `--watch` would gather connections; and a receiver, too."""
    server = Silent()
    async with server.listening() as port:
        with pytest.raises(MqttError):
            await check_broker(config.load(mqtt_url=url_of("broker", port)), 0.2)
        await eventually(lambda: server.closed == 1)


async def test_a_broker_that_refuses_us_is_a_mistake_to_fix(stack: Stack) -> None:
    async with Silent(b"\x20\x02\x00\x05").listening() as port:
        checked = await stack.status(MQTT_URL=url_of("broker", port))
    line = checked.stdout.splitlines()[2]
    assert (checked.returncode, line.split()[1]) == (2, "refused")
    assert re.search(r"Not authori[sz]ed.*; fix MQTT_URL$", line)
    assert "secret" not in checked.stdout
