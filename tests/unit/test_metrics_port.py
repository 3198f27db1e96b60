"""One METRICS_PORT for a receiver and a writer of one host: the second one takes the next port. Any other port that is
taken is an error."""

from __future__ import annotations

import logging
import select
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from traksense_ingest.ops.embedded import free_port
from traksense_ingest.ops.scrape import find_on_host
from traksense_ingest.shared.errors import ConfigurationError
from traksense_ingest.shared.metrics import Metrics, ReceiverMetrics, WriterMetrics
from traksense_ingest.shared.ports import LAST_PORT, RECEIVER_METRICS, WRITER_METRICS, Port, metrics_ports
from traksense_ingest.shared.runtime import health_server
from traksense_ingest.shared.runtime.health import Health
from traksense_ingest.shared.runtime.health_server import HealthServer, service_on

HOST = "127.0.0.1"
OTHER = {"receiver": "writer", "writer": "receiver"}
each_service = pytest.mark.parametrize("service", OTHER)


def server(service: str, port: int, host: str = HOST) -> HealthServer:
    metrics: Metrics = ReceiverMetrics() if service == "receiver" else WriterMetrics()
    components = ("broker", "redis") if service == "receiver" else ("redis", "database", "clock", "messages")
    return HealthServer(host, port, metrics, Health(metrics, dict.fromkeys(components, "")))


@pytest.fixture
def port() -> int:
    """One that is free, and so are the next two."""
    return free_port(3)


@pytest.fixture
def lifetimes() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@each_service
@pytest.mark.parametrize("host", [HOST, "0.0.0.0"])
def test_the_second_service_takes_the_next_port_and_says_so(
    service: str, host: str, port: int, lifetimes: ExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    first = lifetimes.enter_context(server(OTHER[service], port, host))
    assert (first.port, caplog.records) == (port, [])
    second = lifetimes.enter_context(server(service, port, host))
    assert second.port == port + 1
    assert [service_on(HOST, each.port) for each in (first, second)] == [OTHER[service], service]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    taken = f"port {port} is taken by the {OTHER[service]} of this host"
    assert record.getMessage().startswith(f"{taken}, so metrics are on port {port + 1}; set METRICS_PORT for ")


def test_a_service_that_has_begun_to_listen_and_does_not_answer_yet_is_waited_for(port: int) -> None:
    """Both start at the same moment: whoever listens first has the port, though nobody serves it yet."""
    first = server("writer", port)
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(server, "receiver", port)
        asked, _, _ = select.select([first._server], [], [], 60)
        assert asked, "nobody asks who has the port"
        with first, second.result() as moved:
            assert (first.port, moved.port) == (port, port + 1)


@each_service
def test_two_of_one_service_are_an_error(service: str, port: int, lifetimes: ExitStack) -> None:
    lifetimes.enter_context(server(service, port))
    is_refused(service, port, f"port {port} on {HOST} can't be used for metrics (Address already in use); ")


@each_service
def test_so_are_two_of_one_service_next_to_the_other(service: str, port: int, lifetimes: ExitStack) -> None:
    lifetimes.enter_context(server(OTHER[service], port))
    lifetimes.enter_context(server(service, port))
    taken = f"port {port} on {HOST} is taken by the {OTHER[service]}"
    is_refused(
        service, port, f"{taken}, and port {port + 1} can't be used for metrics either (Address already in use); "
    )
    assert service_on(HOST, port + 2) is None


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"220 mail.example.com ESMTP\r\n",
        b"HTTP/1.0 404 Not Found\r\n\r\nnot found",
        b"HTTP/1.0 200 OK\r\n\r\n# HELP ingest_points_total Rows\ningest_points_total 3\n",
        b'HTTP/1.0 200 OK\r\n\r\n{"alive": true}',
        b'HTTP/1.0 200 OK\r\n\r\n{"components": 1}',
        b'HTTP/1.0 200 OK\r\n\r\n["broker"]',
        b"HTTP/1.0 200 OK\r\n\r\n" + b"[" * 5000,
        b'HTTP/1.0 200 OK\r\n\r\n{"components": {"queue": "up"}}',
    ],
    ids=lambda answer: answer[-12:].decode(),
)
def test_another_program_is_an_error_whatever_it_answers(answer: bytes, port: int, lifetimes: ExitStack) -> None:
    class Handler(BaseHTTPRequestHandler):
        def handle(self) -> None:
            self.rfile.readline()
            self.wfile.write(answer)

    another = lifetimes.enter_context(ThreadingHTTPServer((HOST, port), Handler))
    Thread(target=another.serve_forever, daemon=True).start()
    lifetimes.callback(another.shutdown)
    is_refused("receiver", port, f"port {port} on {HOST} can't be used for metrics (Address already in use); ")


def test_so_is_a_program_that_does_not_answer(port: int, lifetimes: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_server, "ANSWER_S", 0.05)
    lifetimes.enter_context(socket.create_server((HOST, port)))
    is_refused("writer", port, f"port {port} on {HOST} can't be used for metrics (Address already in use); ")


def test_there_is_no_port_after_the_last(lifetimes: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    with server("writer", 0) as first:
        monkeypatch.setattr(health_server, "LAST_PORT", first.port)
        is_refused("receiver", first.port, f"port {first.port} on {HOST} can't be used for metrics ")


def is_refused(service: str, port: int, said: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        server(service, port)
    assert str(raised.value).startswith(said)
    assert str(raised.value).endswith("; set METRICS_PORT to another")


@pytest.mark.parametrize("first", OTHER)
def test_commands_find_both_whichever_started_first(first: str, port: int, lifetimes: ExitStack) -> None:
    lifetimes.enter_context(server(first, port))
    lifetimes.enter_context(server(OTHER[first], port))
    found = {service.process: find_on_host(service, port) for service in (RECEIVER_METRICS, WRITER_METRICS)}
    assert found == {
        first: f"http://localhost:{port}/metrics",
        OTHER[first]: f"http://localhost:{port + 1}/metrics",
    }


def test_what_does_not_run_is_named_where_it_should_be(port: int) -> None:
    assert find_on_host(WRITER_METRICS, port) == f"http://localhost:{port}/metrics"


@pytest.mark.parametrize(
    ("service", "chosen", "ports"),
    [
        (WRITER_METRICS, None, (9100, 9101, 9102)),
        (RECEIVER_METRICS, None, (9101, 9102, 9100)),
        (RECEIVER_METRICS, 0, (9101, 9102, 9100)),
        (RECEIVER_METRICS, 9100, (9100, 9101, 9102)),
        (WRITER_METRICS, 9110, (9110, 9111, 9100, 9101, 9102)),
        (WRITER_METRICS, LAST_PORT, (LAST_PORT, 9100, 9101, 9102)),
    ],
)
def test_the_port_of_the_variable_comes_before_the_default_ones(
    service: Port, chosen: int | None, ports: tuple[int, ...]
) -> None:
    assert metrics_ports(service, chosen) == ports
