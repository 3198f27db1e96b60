"""The process: it listens, and prints a link."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from traksense_ingest.ops.advice import port_advice
from traksense_ingest.ops.console.app import make_app
from traksense_ingest.ops.console.options import Options
from traksense_ingest.ops.console.protocol import Http
from traksense_ingest.ops.console.visit import Console
from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.errors import ConfigurationError

GRACE_S = 3  # for responses that are not complete yet
CONNECTIONS_MAX = 500  # more get 503
HEADERS_MAX = 32 * 1024  # bytes of a request's line and headers


async def serve(settings: Settings, options: Options, stop: asyncio.Event) -> None:
    """Until `stop`. Raises ConfigurationError if it can't listen."""
    listener = _listen(options)
    console = Console.of(settings, options, listener.getsockname()[1])
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    config = uvicorn.Config(
        make_app(console),
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        http=Http,
        ws="none",
        forwarded_allow_ips=list(options.proxies),
        limit_concurrency=CONNECTIONS_MAX,
        h11_max_incomplete_event_size=HEADERS_MAX,
        timeout_graceful_shutdown=GRACE_S,
    )
    server = Server(config)
    async with console.running():
        serving = asyncio.create_task(server.serve(sockets=[listener]), name="server")
        console.announce()
        stopping = asyncio.create_task(stop.wait(), name="stop")
        await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        server.should_exit = True
        console.stop()
        await serving
    console.withdraw_link()


class Server(uvicorn.Server):
    """Without signal handlers: those of the process set `stop`."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """No signals."""
        yield


def _listen(options: Options) -> socket.socket:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((options.host, options.port))
    except OSError as error:
        listener.close()
        if options.port and error.errno == errno.EADDRINUSE:
            raise ConfigurationError(port_advice("console", options.port)) from None
        raise ConfigurationError(f"--host {options.host}: {error.strerror}") from None
    listener.listen()
    return listener
