"""Is this process alive, and is what it needs there? Served with the metrics over HTTP."""

from __future__ import annotations

import errno
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client.exposition import ThreadingWSGIServer, make_wsgi_app

from shared.failure import describe
from shared.metrics import OUTAGE_REASONS, Metrics

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

STALL_S = 30.0  # an event loop that has not turned for so long is stuck, not busy

log = logging.getLogger(__name__)


class MetricsPortError(Exception):
    """The metrics' address or port can't be had; the message names it and the variable."""


class Component:
    """One thing that the process needs: the broker, Redis or the database. Unknown until first heard of."""

    def __init__(self, name: str, address: str, metrics: Metrics) -> None:
        self.name = name
        self._address = address
        self.is_up = False
        self._waiting = 0
        self._was_reported = False
        self._errors = metrics.errors.labels(OUTAGE_REASONS[name])
        self._connected = metrics.connected.labels(name)

    @contextmanager
    def wait(self) -> Iterator[None]:
        """While somebody waits for it to come back, no one else's success makes it up."""
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    def up(self) -> None:
        """It answered; says so once an outage."""
        if self._waiting:
            return
        if not self.is_up:
            log.info("%s is there", self.name)
        self.is_up, self._was_reported = True, False
        self._connected.set(1)

    def down(self, error: BaseException) -> None:
        """A try failed; counts each, and says so once an outage."""
        if not self._was_reported:
            log.warning("%s is away, waiting for it: %s (%s)", self.name, describe(error), self._address)
        self.is_up, self._was_reported = False, True
        self._errors.inc()
        self._connected.set(0)


class Health:
    """Alive: the event loop turns. Ready: every component answers."""

    def __init__(self, metrics: Metrics, addresses: Mapping[str, str]) -> None:
        """`addresses` are the components' URLs, fit for a log line."""
        self.components = {name: Component(name, address, metrics) for name, address in addresses.items()}
        self._turned_at = time.monotonic()

    def turn(self) -> None:
        """Called by a task of the event loop, every second or so."""
        self._turned_at = time.monotonic()

    @property
    def is_alive(self) -> bool:
        return time.monotonic() - self._turned_at < STALL_S

    @property
    def is_ready(self) -> bool:
        return self.is_alive and all(component.is_up for component in self.components.values())

    def report(self) -> dict[str, object]:
        """What /healthz and /readyz answer."""
        states = {name: "up" if component.is_up else "down" for name, component in self.components.items()}
        return {"alive": self.is_alive, "ready": self.is_ready, "components": states}


class HealthServer:
    """/metrics, /healthz and /readyz, served by a thread of its own so that a busy loop can't hide."""

    def __init__(self, host: str, port: int, metrics: Metrics, health: Health) -> None:
        try:
            self._server = make_server(
                host, port, _application(metrics, health), _server_class(host, port), _SilentHandler
            )
        except (OSError, UnicodeError) as error:
            variable = "METRICS_PORT" if getattr(error, "errno", 0) in _PORT_IS_WRONG else "METRICS_HOST"
            why = getattr(error, "strerror", None) or error
            raise MetricsPortError(
                f"port {port} on {host} can't be used for metrics ({why}); set {variable} to another"
            ) from None

    @property
    def port(self) -> int:
        return int(self._server.server_port)

    def __enter__(self) -> HealthServer:
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


_PORT_IS_WRONG = (errno.EADDRINUSE, errno.EACCES)


def _server_class(host: str, port: int) -> type[ThreadingWSGIServer]:
    """A server for the kind of address that `host` is: IPv4 where it is both. Raises OSError where it is none."""
    families = {address[0] for address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}

    class Server(ThreadingWSGIServer):
        address_family = socket.AF_INET if socket.AF_INET in families else socket.AF_INET6

    return Server


def _application(metrics: Metrics, health: Health) -> Callable[..., Iterable[bytes]]:
    exposition = make_wsgi_app(metrics.registry)

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        match environ["PATH_INFO"]:
            case "/metrics":
                return list(exposition(environ, start_response))
            case "/healthz":
                return _json(start_response, health.is_alive, health.report())
            case "/readyz":
                return _json(start_response, health.is_ready, health.report())
            case _:
                start_response("404 Not Found", [("Content-Type", "text/plain")])
                return [b"/metrics /healthz /readyz\n"]

    return answer


def _json(start_response: StartResponse, ok: bool, body: dict[str, object]) -> Iterable[bytes]:
    start_response("200 OK" if ok else "503 Service Unavailable", [("Content-Type", "application/json")])
    return [json.dumps(body).encode() + b"\n"]


class _SilentHandler(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """A scrape every few seconds is not news."""
