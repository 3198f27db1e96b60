"""What docker-compose.yml makes of Redis, EMQX and HAProxy: users, rules, listeners, in which order they stop."""

from __future__ import annotations

import re
import shlex

from tests.support.compose import COMPOSE, REQUIRED, ROOT, SERVICES
from tests.support.handbook import DOCS, blocks
from traksense_ingest.ops import drain

HAPROXY = (ROOT / "deploy/haproxy/haproxy.cfg").read_text()


def test_devices_are_let_in_last_and_shut_out_first() -> None:
    """docker compose stops what depends on a service before it, also when `up` recreates EMQX (`restart`)."""
    started = {"condition": "service_started"}
    assert SERVICES["devices"]["depends_on"] == {"emqx": started | {"restart": True}, "drain": started}
    assert SERVICES["drain"]["depends_on"] == {"emqx": started | {"restart": True}, "receiver": started}
    assert set(SERVICES["receiver"]["depends_on"]) == {"emqx", "redis"}
    assert SERVICES["simulate"]["environment"]["MQTT_URL"] == "mqtt://devices:1883"


def test_there_is_time_to_drain() -> None:
    assert int(SERVICES["drain"]["stop_grace_period"].removesuffix("s")) > drain.LIMIT_S
    assert SERVICES["drain"]["entrypoint"] == ["python", "-m", drain.__name__]


def test_receivers_start_with_the_broker_and_do_not_wait_for_its_health_check() -> None:
    assert all(on == {"condition": "service_started"} for on in SERVICES["receiver"]["depends_on"].values())


def test_what_is_stopped_stops_at_once() -> None:
    assert SERVICES["timescaledb"]["stop_signal"] == "SIGINT"  # PostgreSQL's fast shutdown; SIGTERM waits for clients
    assert SERVICES["devices"]["stop_signal"] == "SIGTERM"  # HAProxy's hard stop; SIGUSR1 waits for clients


def test_the_devices_listener_is_the_one_that_takes_the_proxy_protocol() -> None:
    (server,) = re.findall(r"server emqx emqx:(\d+) send-proxy-v2", HAPROXY)
    hocon = (ROOT / "deploy/emqx/base.hocon").read_text()
    assert f'listeners.tcp.devices {{ bind = "0.0.0.0:{server}", proxy_protocol = true }}' in hocon
    assert 'listeners.tcp.default.bind = "0.0.0.0:1883"' in hocon


def test_haproxy_may_open_as_many_files_as_its_connections_take() -> None:
    connections = {int(number) for number in re.findall(r"maxconn (\d+)", HAPROXY)}
    assert len(connections) == 1
    assert 2 * max(connections) + 1000 < SERVICES["devices"]["ulimits"]["nofile"] + 1


def test_a_config_that_changes_recreates_its_container() -> None:
    """docker compose compares a container's variables, not what is in its configs. EMQX is left alone on purpose: it
    reads its users once, and what its sessions hold would be lost."""
    for name, service in SERVICES.items():
        for used in service.get("configs", ()):
            content = COMPOSE["configs"][used["source"]]["content"]
            assert name == "emqx" or content in service["environment"].values()


def test_redis_has_the_users_of_the_handbook() -> None:
    users = {line.split()[1]: line for line in COMPOSE["configs"]["redis-users"]["content"].splitlines()}
    (page,) = blocks("redis")
    for name in ("receiver", "writer"):
        assert REQUIRED.sub("PASSWORD", users[name]) in page.splitlines()
    everything = {rule for rule in re.sub(r"\(.*?\)", "", page).split() if rule[0] in "+~"}
    operator, going_back, leaving, dismissal = users["operator"].split(" (")
    assert {rule for rule in operator.split() if rule[0] in "+~"} == everything
    assert f"({dismissal}" in users["receiver"]
    assert f"({leaving}" in users["writer"]
    assert f"({going_back}" == "(%R~ingest:{*} +xrevrange)", "for the console, which may run the rest as a writer may"
    (inspector,) = re.findall(r"^\$ redis-cli ACL SETUSER (.*)$", (DOCS / "redis-cli.md").read_text(), re.MULTILINE)
    assert REQUIRED.sub("PASSWORD", users["inspector"]).split()[1:] == shlex.split(inspector)
    assert users["default"] == "user default on nopass resetkeys resetchannels nocommands +ping"


def test_redis_keeps_what_it_has() -> None:
    lines = (ROOT / "deploy/redis/redis.conf").read_text().splitlines()
    directives = dict(line.split(maxsplit=1) for line in lines if line and not line.startswith("#"))
    assert directives["appendonly"] == "yes"
    assert directives["appendfsync"] == "always"
    assert directives["maxmemory-policy"] == "noeviction"
    assert directives["maxmemory"] == "1gb"
    assert SERVICES["redis"]["mem_limit"] == "2g"
    assert not [value for value in directives.values() if "#" in value]  # Redis knows no comment behind a value


def test_emqx_has_the_rules_of_the_handbook() -> None:
    (page,) = blocks("erlang")
    rules = [line for line in (ROOT / "deploy/emqx/acl.conf").read_text().splitlines() if not line.startswith("%%")]
    assert [rule for rule in rules if "operator" not in rule] == page.splitlines()
