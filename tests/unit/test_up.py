"""What `up` shows and decides, without starting anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import ClassVar

import pytest
from rich.console import Console

from traksense_ingest.ops.advice import port_advice
from traksense_ingest.ops.console.guard.sessions import Sessions
from traksense_ingest.ops.embedded import Server, ServerFailed
from traksense_ingest.ops.up.plan import Ports, make_plan, with_free_ports
from traksense_ingest.ops.up.processes import RESTARTS_MAX, ConsolePages, GaveUp, Optional, Supervisor
from traksense_ingest.ops.up.view import Gauges, instructions, line, table
from traksense_ingest.shared.config import Settings

PORTS = Ports(1883, 1884, 6379, 5432, 9100)


class FakeProcess(Server):
    """A process that runs until the test says otherwise."""

    name: ClassVar[str] = "process"

    def __init__(self) -> None:
        super().__init__(Path(), 0)
        self.is_up = False
        self.code: int | None = None
        self.fails_to_start = False
        self.starts = 0

    url = ""

    def start(self) -> FakeProcess:
        self.starts += 1
        if self.fails_to_start:
            raise ServerFailed(self.name, "no")
        self.is_up = True
        return self

    def stop(self, timeout: float = 10.0) -> None:
        self.is_up = False

    def crash(self, code: int = -9) -> None:
        self.is_up, self.code = False, code

    @property
    def running(self) -> bool:
        return self.is_up

    @property
    def returncode(self) -> int | None:
        return self.code

    def log_tail(self) -> str:
        return "the end of the log"

    def _command(self) -> list[str]:
        return []

    def _answers(self) -> bool:
        return True


@pytest.fixture
def messages() -> list[str]:
    return []


@pytest.fixture
def process() -> FakeProcess:
    return FakeProcess()


@pytest.fixture
def supervisor(process: FakeProcess, messages: list[str]) -> Iterator[Supervisor]:
    supervisor = Supervisor([process], messages.append)
    supervisor.start()
    yield supervisor
    supervisor.stop()
    assert not process.running


def test_a_crashed_process_is_restarted(supervisor: Supervisor, process: FakeProcess, messages: list[str]) -> None:
    supervisor.restart_crashed()
    assert process.starts == 1
    process.crash()
    supervisor.restart_crashed()
    assert (process.running, process.starts, supervisor.restarts["process"]) == (True, 2, 1)
    assert any(text.startswith("process was killed by signal 9: restarting it") for text in messages)


def test_a_process_that_keeps_crashing_ends_it_with_its_log(supervisor: Supervisor, process: FakeProcess) -> None:
    for _ in range(RESTARTS_MAX):
        process.crash()
        supervisor.restart_crashed()
    process.crash()
    with pytest.raises(GaveUp, match="the end of the log"):
        supervisor.restart_crashed()


def test_a_process_that_does_not_come_up_again_ends_it_too(supervisor: Supervisor, process: FakeProcess) -> None:
    process.crash()
    process.fails_to_start = True
    for _ in range(RESTARTS_MAX):
        supervisor.restart_crashed()
    with pytest.raises(GaveUp):
        supervisor.restart_crashed()


def test_what_is_optional_ends_nothing_but_itself(process: FakeProcess, messages: list[str]) -> None:
    process.fails_to_start = True
    optional = Optional([process], messages.append)
    optional.start()
    assert optional.processes == ()
    assert "the other processes continue without it" in messages[-1]
    process.fails_to_start = False
    optional = Optional([process], messages.append)
    optional.start()
    process.crash(code=2)
    optional.restart_crashed()
    assert optional.processes == ()
    assert "can't run as it is configured" in messages[-1]


def test_a_wrong_configuration_is_not_tried_again(supervisor: Supervisor, process: FakeProcess) -> None:
    process.crash(code=2)
    with pytest.raises(GaveUp):
        supervisor.restart_crashed()
    assert process.starts == 1


def settings(**given: str) -> Settings:
    return Settings(_env_file=None, **given)  # type: ignore[call-arg, arg-type]


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MQTT_URL", "REDIS_URL", "DATABASE_URL", "MQTT_PROTOCOL"):
        monkeypatch.delenv(name, raising=False)


def test_everything_is_embedded_unless_a_variable_names_it(tmp_path: Path) -> None:
    plan = make_plan(settings(), PORTS, tmp_path)
    assert [server.name for server in (*plan.stores, *plan.brokers)] == ["redis", "postgres", "broker"]
    assert plan.mqtt_url == "mqtt://127.0.0.1:1883"
    named = make_plan(settings(redis_url="redis://elsewhere:6379/0"), PORTS, tmp_path)
    assert [server.name for server in (*named.stores, *named.brokers)] == ["postgres", "broker"]
    assert named.redis_url == "redis://elsewhere:6379/0"


def test_states_and_commands_are_taken_from_its_own_broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MQTT_TOPICS", raising=False)
    topics = make_plan(settings(), PORTS, tmp_path).environment["MQTT_TOPICS"]
    assert topics.split(",") == [f"traksense/+/+/+/{kind}" for kind in ("telem", "ack", "event", "state", "cmd")]
    assert "MQTT_TOPICS" not in make_plan(settings(mqtt_url="mqtt://broker"), PORTS, tmp_path).environment
    monkeypatch.setenv("MQTT_TOPICS", "plant/#")
    named = make_plan(settings(mqtt_topics="plant/#"), PORTS, tmp_path)
    assert named.environment["MQTT_TOPICS"] == "plant/#"


def test_mqtt_5_has_a_port_of_its_own(tmp_path: Path) -> None:
    assert make_plan(settings(mqtt_protocol="5"), PORTS, tmp_path).mqtt_url == "mqtt://127.0.0.1:1884"


def test_the_instructions_name_what_runs_and_no_password(tmp_path: Path) -> None:
    plan = make_plan(settings(database_url="postgresql://me:s3cret@db:5433/x"), PORTS, tmp_path)
    text = instructions(plan, PORTS, tmp_path)
    assert "mosquitto_pub -h 127.0.0.1 -p 1883 -q 1" in text
    assert "postgresql://me@db:5433/x" in text
    assert "s3cret" not in text


ALL = ("mqtt", "mqtt5", "redis", "postgres", "metrics")


def test_a_usual_port_that_is_taken_gives_way_to_the_next_free_one() -> None:
    taken = {1883, 5432, 5433, 9101}
    ports, lines = with_free_ports(PORTS, ALL, lambda port: port not in taken)
    assert ports == Ports(1885, 1884, 6379, 5434, 9102)
    assert len(lines) == 3
    assert "port 1883 is taken by another program: the broker on 1885 (UP_MQTT_PORT sets another port" in lines[0]
    assert "set DATABASE_URL to use what listens there" in lines[1]


def test_a_port_that_a_variable_names_stays() -> None:
    ports, lines = with_free_ports(PORTS, ["mqtt"], lambda port: port != 6379)
    assert (ports, lines) == (PORTS, [])


def test_the_console_moves_too_unless_a_variable_has_chosen_its_port() -> None:
    ports, lines = with_free_ports(PORTS, ["console"], lambda port: port != 9180)
    assert ports == replace(PORTS, console=9181)
    assert "the console on 9181 (CONSOLE_PORT sets another port)" in lines[0]
    assert with_free_ports(PORTS, [], lambda port: port != 9180) == (PORTS, [])


def test_the_console_is_opened_by_its_newest_link_or_has_an_address(tmp_path: Path) -> None:
    pages = ConsolePages(tmp_path, 9180, {})
    assert pages.url == "http://127.0.0.1:9180/"
    (tmp_path / "console.link").write_text("http://127.0.0.1:9180/login?token=new\n")
    assert pages.url == "http://127.0.0.1:9180/login?token=new"


def test_a_cluster_has_twelve_ports_and_each_writer_one() -> None:
    wanted = replace(PORTS, redis_ports=12, writers=3)
    taken = [6385, 9103]
    ports, lines = with_free_ports(wanted, ALL, lambda port: port not in taken)
    assert [line.partition(":")[0] for line in lines] == [f"port {port} is taken by another program" for port in taken]
    assert ports == replace(wanted, redis=6391, metrics=9104)
    assert (ports.receiver_metrics, ports.all_writer_metrics) == (9105, (9104, 9106, 9107))


def test_options_choose_what_no_variable_names(tmp_path: Path) -> None:
    ports = replace(PORTS, redis_ports=12)
    plan = make_plan(settings(), ports, tmp_path, is_cluster=True)
    assert plan.chosen == {"INGEST_SHARDS": "9", "INGEST_REPLICAS": "1"}
    assert [server.label for server in plan.stores] == [*(f"redis-{number}" for number in range(1, 7)), "postgres"]
    text = instructions(plan, ports, tmp_path)
    assert f"REDIS_URL={plan.redis_url} INGEST_SHARDS=9 INGEST_REPLICAS=1" in text
    named = settings(ingest_shards="4", ingest_replicas="0")
    assert make_plan(named, ports, tmp_path, is_cluster=True).chosen == {}
    assert make_plan(named, PORTS, tmp_path, shards=2).chosen == {"INGEST_SHARDS": "2"}


def test_the_instructions_know_every_form_of_a_redis_url(tmp_path: Path) -> None:
    cluster = make_plan(settings(redis_url="redis+cluster://n1:7000,n2:7001"), PORTS, tmp_path)
    assert "redis-cli -c -h n1 -p 7000 CLUSTER NODES" in instructions(cluster, PORTS, tmp_path)
    sentinels = make_plan(settings(redis_url="redis+sentinel://s1,s2/service"), PORTS, tmp_path)
    assert "redis-cli" not in instructions(sentinels, PORTS, tmp_path)


@pytest.mark.parametrize(
    ("name", "variables"), [("redis", ("REDIS_URL", "UP_REDIS_PORT")), ("writer", ("METRICS_PORT",))]
)
def test_a_busy_port_is_named_with_its_variables(name: str, variables: tuple[str, ...]) -> None:
    text = port_advice(name, 6379)
    assert "port 6379" in text
    assert all(variable in text for variable in variables)


def test_the_view_fits_a_narrow_terminal(process: FakeProcess) -> None:
    console = Console(width=60, record=True, file=StringIO())
    gauges = Gauges(1234.5, 9876.5, 10**6, 10**7, 3, 42, 7, 0.0123, 2.5, is_paused=True)
    link = f"http://127.0.0.1:9180/login?token={Sessions().one_time_token()}"
    console.print(table(gauges, [process], {"process": 2}, link))
    text = console.export_text()
    for shown in (link, "1,234/s", "9,876/s", "42", "12 ms", "2.5 s", "7", "process", "restarted 2×", "full"):
        assert shown in text
    assert max(map(len, text.splitlines())) <= 60


def test_a_pipe_gets_one_line() -> None:
    text = line(Gauges(p50=0.004, points=5))
    assert "\n" not in text
    assert "p50 4 ms, p99 –" in text
