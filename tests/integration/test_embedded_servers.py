"""The servers that `up` and the tests run: they answer, keep their data, fail loudly, leave nothing behind."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from redis import Redis

from tests.support.budget import few_of
from tests.support.waiting import eventually_blocking
from traksense_ingest.ops.embedded import Broker, PortBusy, PostgresServer, RedisServer, Server, ServerFailed, free_port
from traksense_ingest.ops.embedded.broker import mqtt_answers
from traksense_ingest.ops.embedded.debian import DebianPostgres, DebianRedis, Mosquitto
from traksense_ingest.ops.embedded.ports import port_is_free
from traksense_ingest.ops.embedded.postgres import processes_in

REDIS = [RedisServer, DebianRedis]
POSTGRES = [PostgresServer, DebianPostgres]
BROKERS = [Broker, Mosquitto]
SERVERS = [RedisServer, PostgresServer, Broker, DebianRedis, DebianPostgres, Mosquitto]

Build = Callable[..., Server]


def _class_id(kind: type[Server]) -> str:
    return kind.__name__


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Build]:
    """Make servers in this test's directory; all are killed when it ends."""
    made: list[Server] = []

    def make(kind: type[Server], port: int | None = None, **options: object) -> Server:
        if not getattr(kind, "installed", lambda: True)():
            pytest.skip(f"{kind.__name__} needs a Debian package that is not installed")
        server = kind(tmp_path / kind.name, port or free_port(), **options)
        made.append(server)
        return server

    yield make
    for server in made:
        server.kill()


def end(server: Server, how: str) -> None:
    server.stop() if how == "stop" else server.kill()
    assert not server.running


def gone(pid: int) -> bool:
    """Whether a process ended; one that nobody reaped yet has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def remember(url: str, key: str) -> None:
    with Redis.from_url(url) as client:
        client.set(key, "kept")


def recall(url: str, key: str) -> object:
    with Redis.from_url(url) as client:
        return client.get(key)


@pytest.mark.parametrize("kind", few_of(REDIS, 1), ids=_class_id)
def test_redis_keeps_what_it_answered(build: Build, kind: type[Server]) -> None:
    server = build(kind).start()
    for how in ("stop", "kill"):
        remember(server.url, how)
        end(server, how)
        server.start()
        assert recall(server.url, how) == b"kept"


def test_redis_options_replace_the_defaults(build: Build) -> None:
    server = build(RedisServer, options={"appendfsync": "everysec", "maxmemory": "64mb"}).start()
    with Redis.from_url(server.url) as client:
        assert client.config_get("appendfsync") == {"appendfsync": "everysec"}
        assert client.config_get("maxmemory") == {"maxmemory": str(64 * 1024 * 1024)}


@pytest.mark.parametrize("kind", few_of(POSTGRES, 1), ids=_class_id)
async def test_postgres_takes_options_and_keeps_what_it_committed(build: Build, kind: type[Server]) -> None:
    server = build(kind, options={"work_mem": "9MB"}).start()
    assert await _fetch(server.url, "SHOW work_mem") == "9MB"
    assert await _fetch(server.url, "SHOW fsync") == "on"
    for how in ("stop", "kill"):
        await _execute(server.url, f"CREATE TABLE kept_over_{how} AS SELECT 42 AS answer")
        end(server, how)
        server.start()
        assert await _fetch(server.url, f"SELECT answer FROM kept_over_{how}") == 42


@pytest.mark.parametrize("kind", few_of(POSTGRES, 1), ids=_class_id)
def test_postgres_starts_after_its_postmaster_was_killed_by_another(build: Build, kind: type[Server]) -> None:
    server = build(kind).start()
    os.kill(server.pid or 0, signal.SIGKILL)
    eventually_blocking(lambda: not server.running)
    eventually_blocking(lambda: port_is_free(server.port))  # its children may hold the socket a moment longer
    server.start()
    assert server.running


def test_postgres_kill_leaves_no_backend_and_a_stale_pid_that_is_another_programs_now(build: Build) -> None:
    server = build(PostgresServer).start()
    data = server.directory / "pgdata"
    pid_file = data / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    assert len(processes_in(data)) > 1
    server.kill()
    assert processes_in(data) == []
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        pid_file.write_text("\n".join([str(other.pid), *lines[1:]]) + "\n")
        server.start()


@pytest.mark.long
def test_postgres_starts_in_a_deep_private_directory(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    with PostgresServer(private / ("x" * 120) / "postgres", free_port()) as server:
        assert server.running


@pytest.mark.long
@pytest.mark.timescaledb
async def test_debians_postgres_loads_timescaledb(build: Build) -> None:
    server = build(DebianPostgres)
    if not getattr(server, "has_timescaledb", False):
        pytest.skip("the timescaledb extension is not installed")
    server.start()
    await _execute(server.url, "CREATE EXTENSION IF NOT EXISTS timescaledb")
    assert await _fetch(server.url, "SHOW timescaledb.telemetry_level") == "off"


@pytest.mark.parametrize("kind", few_of(BROKERS, 1), ids=_class_id)
def test_a_broker_delivers_a_large_payload(build: Build, kind: type[Server]) -> None:
    server = build(kind).start()
    payload = bytes(2 * 1024 * 1024)
    assert _through(server.port, payload) == payload


@pytest.mark.parametrize("kind", few_of(BROKERS, 1), ids=_class_id)
def test_a_broker_starts_again_after_stop_and_kill(build: Build, kind: type[Server]) -> None:
    server = build(kind)
    for how in ("stop", "kill"):
        server.start()
        assert mqtt_answers(server.port)
        end(server, how)


def test_the_broker_speaks_mqtt_5_on_its_second_port(build: Build) -> None:
    server = build(Broker, v5_port=free_port()).start()
    assert isinstance(server, Broker)
    assert server.v5_port is not None
    assert _through(server.v5_port, b"five", MQTTProtocolVersion.MQTTv5) == b"five"


@pytest.mark.parametrize("kind", [RedisServer, PostgresServer, Broker, Mosquitto], ids=_class_id)
def test_a_busy_port_is_named(build: Build, kind: type[Server]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = build(kind, port)
        with pytest.raises(PortBusy, match=f"{server.name}.*{port}"):
            server.start()
    assert not server.running


def test_the_brokers_second_port_is_checked_too(build: Build) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(PortBusy) as busy:
            build(Broker, v5_port=taken.getsockname()[1]).start()
        assert busy.value.port == taken.getsockname()[1]


@pytest.mark.parametrize(
    ("kind", "option", "reason"),
    [
        (RedisServer, {"appendfsync": "nonsense"}, "appendfsync"),
        (PostgresServer, {"shared_buffers": "nonsense"}, "shared_buffers"),
    ],
)
def test_a_server_that_fails_says_why(build: Build, kind: type[Server], option: dict[str, str], reason: str) -> None:
    server = build(kind, options=option)
    with pytest.raises(ServerFailed, match=reason):
        server.start()
    assert not server.running


def test_a_server_that_fails_tells_nothing_of_earlier_runs(build: Build) -> None:
    build(RedisServer).start().stop()
    server = build(RedisServer, options={"appendfsync": "nonsense"})
    with pytest.raises(ServerFailed) as failed:
        server.start()
    assert "Ready to accept connections" not in failed.value.log


def test_a_failed_broker_tells_why(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    server = build(Broker)
    monkeypatch.setattr(server, "_config", lambda: "id = nonsense")
    with pytest.raises(ServerFailed, match="TOML"):
        server.start()


def test_stop_and_kill_may_be_repeated(build: Build) -> None:
    server = build(RedisServer)
    server.stop()
    with server:
        assert server.start() is server
    server.stop()
    server.kill()
    assert server.returncode == 0


PARENT = """
import sys
from pathlib import Path
import {module} as module
server = module.{kind}(Path(sys.argv[1]), int(sys.argv[2])).start()
print(server.pid, flush=True)
input()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends orphans on Linux only")
@pytest.mark.parametrize(
    "kind", few_of([RedisServer, PostgresServer, Broker, DebianRedis, DebianPostgres, Mosquitto], 3), ids=_class_id
)
def test_a_parent_killed_leaves_no_child_behind(build: Build, kind: type[Server], tmp_path: Path) -> None:
    server = build(kind)  # skips what is not installed, and can start what the killed parent left
    script = PARENT.format(module=kind.__module__, kind=kind.__name__)
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(server.directory), str(server.port)],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
    eventually_blocking(lambda: gone(child))
    eventually_blocking(lambda: port_is_free(server.port))  # threads of it may hold the socket a moment longer
    eventually_blocking(lambda: not processes_in(server.directory / "pgdata"))
    server.start()


async def _execute(url: str, query: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(query)
    await connection.close()


async def _fetch(url: str, query: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


def _through(port: int, payload: bytes, version: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv311) -> bytes:
    """Send a payload to ourselves through a broker, at QoS 1."""
    received: list[bytes] = []
    subscribed: list[bool] = []
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="test", protocol=version)
    client.on_subscribe = lambda *_: subscribed.append(True)
    client.on_message = lambda _client, _data, message: received.append(bytes(message.payload))
    client.connect("127.0.0.1", port)
    client.loop_start()
    eventually_blocking(client.is_connected)
    client.subscribe("t/#", qos=1)
    eventually_blocking(lambda: bool(subscribed))
    client.publish("t/1", payload, qos=1)
    eventually_blocking(lambda: bool(received))
    client.disconnect()
    client.loop_stop()
    return received[0]
