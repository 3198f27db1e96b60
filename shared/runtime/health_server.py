"""/metrics, /healthz and /readyz over HTTP.

A receiver and a writer on one host may have one environment, and so one METRICS_PORT. Then the second one takes the
next port.
"""

from __future__ import annotations

import errno
import json
import logging
import socket
import threading
from collections.abc import Callable, Container, Iterable
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client.exposition import ThreadingWSGIServer, make_wsgi_app

from traksense_ingest.shared.errors import ConfigurationError
from traksense_ingest.shared.metrics import Metrics
from traksense_ingest.shared.ports import LAST_PORT
from traksense_ingest.shared.runtime.health import Health

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

Application = Callable[..., Iterable[bytes]]

ANSWER_S = 5.0  # a service that has just begun to listen, on a busy host, answers within this time
_REPLY_BYTES = 4096  # more than any /healthz of ours has
_PORT_IS_WRONG = (errno.EADDRINUSE, errno.EACCES)
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - reaches what listens on every address

log = logging.getLogger(__name__)


class HealthServer:
    """Served by a thread of its own: it answers also while the event loop is stuck."""

    def __init__(self, host: str, port: int, metrics: Metrics, health: Health) -> None:
        """Listens on `port`, or on the next one if the other service of this host listens on `port`.

        Any other program on that port is an error, and so is a second process of the same service: two receivers on
        one host may be a mistake. Raises ConfigurationError.
        """
        application = _application(metrics, health)
        try:
            self._server = _listen(host, port, application)
        except (OSError, UnicodeError) as error:
            other = _other_service(host, port, error, health)
            if other is None:
                variable = "METRICS_PORT" if getattr(error, "errno", 0) in _PORT_IS_WRONG else "METRICS_HOST"
                raise ConfigurationError(
                    f"port {port} on {host} can't be used for metrics ({_why(error)}); set {variable} to another"
                ) from None
            self._server = _listen_next(host, port, application, other)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_port)

    def __enter__(self) -> HealthServer:
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def service_on(host: str, port: int) -> str | None:
    """`receiver` or `writer`, whichever serves its health there; None for another program, or for no answer within
    ANSWER_S."""
    connection = HTTPConnection(_LOOPBACK.get(host, host), port, timeout=ANSWER_S)
    try:
        connection.request("GET", "/healthz")
        return _service_with(dict(json.loads(connection.getresponse().read(_REPLY_BYTES))["components"]))
    except (OSError, HTTPException, ValueError, LookupError, TypeError, RecursionError):
        return None
    finally:
        connection.close()


def _service_with(components: Container[str]) -> str | None:
    """The service that has these components. A receiver has no database, and a writer no broker."""
    return "receiver" if "broker" in components else "writer" if "database" in components else None


def _other_service(host: str, port: int, error: Exception, health: Health) -> str | None:
    """The service that has the port, if it is not the one of this process."""
    if getattr(error, "errno", 0) != errno.EADDRINUSE or port == LAST_PORT:
        return None
    found = service_on(host, port)
    return found if found != _service_with(health.components) else None


def _listen_next(host: str, port: int, application: Application, other: str) -> WSGIServer:
    try:
        server = _listen(host, port + 1, application)
    except OSError as error:
        raise ConfigurationError(
            f"port {port} on {host} is taken by the {other}, and port {port + 1} can't be used for metrics either "
            f"({_why(error)}); set METRICS_PORT to another"
        ) from None
    log.warning(
        "port %d is taken by the %s of this host, so metrics are on port %d; set METRICS_PORT for each service, or for "
        "neither, if the ports must not depend on which one starts first",
        port,
        other,
        port + 1,
        extra={"port": port + 1, "variable": "METRICS_PORT"},
    )
    return server


def _listen(host: str, port: int, application: Application) -> WSGIServer:
    """A server for the kind of address that `host` is: IPv4 if it has both. Raises OSError or UnicodeError."""
    families = {address[0] for address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}

    class Server(ThreadingWSGIServer):
        address_family = socket.AF_INET if socket.AF_INET in families else socket.AF_INET6

    return make_server(host, port, application, Server, _SilentHandler)


def _why(error: Exception) -> object:
    return getattr(error, "strerror", None) or error


def _application(metrics: Metrics, health: Health) -> Application:
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
        """No line for each scrape."""
