"""The console's HTTP: connections on which no complete request arrives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.responses import PlainTextResponse
from uvicorn import Config
from uvicorn.server import ServerState

from tests.support.waiting import TIMEOUT_S
from traksense_ingest.ops.console import protocol
from traksense_ingest.ops.console.protocol import Http

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
async def port(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    """Of a server, which never closes a connection that is idle after a request."""
    monkeypatch.setattr(protocol, "HEADERS_S", 0.05)
    config = Config(app, http=Http, log_config=None, lifespan="off", timeout_keep_alive=10 * int(TIMEOUT_S))
    state = ServerState()

    def connection() -> Http:
        return Http(config, state, {})

    server = await asyncio.get_running_loop().create_server(connection, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers when it has read the body."""
    while (await receive()).get("more_body"):
        pass
    await PlainTextResponse("ok\n")(scope, receive, send)


@pytest.mark.parametrize("before", [[], [REQUEST]], ids=["at first", "after a request"])
@pytest.mark.parametrize("sent", [b"GET / HTT", b"GET / HTTP/1.1\r\nHost: localhost\r\n"])
async def test_headers_that_do_not_come_end_the_connection(port: int, before: list[bytes], sent: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(TIMEOUT_S):
        for request in before:
            writer.write(request)
            assert (await reader.readuntil(b"ok\n")).startswith(b"HTTP/1.1 200 OK")
        writer.write(sent)
        assert await reader.read() == b""
    writer.close()


async def test_a_connection_without_a_byte_ends(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(TIMEOUT_S):
        assert await reader.read() == b""
    writer.close()


async def test_a_body_may_take_longer(port: int) -> None:
    """It has a limit of its own."""
    silent, other = await asyncio.open_connection("127.0.0.1", port)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nx")
    async with asyncio.timeout(TIMEOUT_S):
        assert await silent.read() == b"", "the time of headers is over"
        writer.write(b"y")
        assert (await reader.readuntil(b"ok\n")).startswith(b"HTTP/1.1 200 OK")
    writer.close()
    other.close()
