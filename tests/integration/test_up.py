"""`traksense-ingest up` as a new user runs it, on ports of the test's own."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import urlsplit

import aiomqtt
import pytest

from tests.support.console import Browser
from tests.support.up import Up, children_in, is_service
from tests.support.waiting import eventually

TUTORIAL = Path(__file__).parents[2] / "docs" / "mappings.md"

OFFICE = """\
version: 1
name: office
tenant: acme
routes:
  - name: readings
    topics: "office/{room}/{device}"
    identity: {site: "{room}", device: "{device}"}
    time: {path: at}
    points:
      - {path: temp, unit: "°C"}
tests:
  - name: a reading
    topic: office/lab/t1
    payload: '{"at": 1735689600, "temp": 21.5}'
    rows:
      - {tenant: acme, site: lab, device: t1, ts: "2025-01-01T00:00:00Z", point: temp, v_num: 21.5, unit: "°C"}
"""


@pytest.mark.long
async def test_all_checks_pass_and_a_second_one_keeps_out_of_its_directory(up: Up) -> None:
    up.start()
    await up.says("publish   mosquitto_pub -h 127.0.0.1")
    metrics = up.ports["METRICS_PORT"]
    checked = up.command(
        "validate",
        "--json",
        "--points",
        "5000",
        "--min-rate",
        "1",
        "--writer-metrics",
        f"http://127.0.0.1:{metrics}/metrics",
        "--receiver-metrics",
        f"http://127.0.0.1:{metrics + 1}/metrics",
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    report = json.loads(checked.stdout)
    assert report["passed"] is True
    assert [check["passed"] for check in report["checks"]] == [True] * 5
    assert await up.count("ts_measure", "tenant_id LIKE 'validate-%'") == 0, "it removes what it wrote"

    again = up.command("up")
    assert again.returncode == 2
    assert "another `up` runs there: stop it, or choose another" in again.stderr
    assert up.stop() == 0


@pytest.mark.long
async def test_what_is_simulated_is_what_is_stored_also_over_a_restart(up: Up) -> None:
    up.start()
    await up.says("publish   mosquitto_pub")
    published = up.command("simulate", "--messages", "300", "--rate", "300", "--bad", "0.1", "--seed", "7", "--json")
    assert published.returncode == 0, published.stderr
    tally = json.loads(published.stdout)
    assert up.stop() == 0, up.said
    assert re.findall(r"stopping (\w+) …", up.said) == ["console", "broker", "receiver", "writer", "postgres", "redis"]

    up.start()
    await up.says("publish   mosquitto_pub")
    assert await up.count("ts_measure") == tally["expected_rows"]["ts_measure"]
    assert await up.count("cmd_ack") == tally["expected_rows"]["cmd_ack"]
    assert await up.count("device_event") == tally["expected_rows"]["device_event"]
    assert await up.count("ingest_errors") == tally["expected_rows"]["ingest_errors"]
    assert up.stop(signal.SIGTERM) == 0


async def loaded_again_as_documented(up: Up) -> None:
    """By the command of docs/mappings.md, for this one's children alone."""
    (command,) = re.findall(r"^kill -HUP \$\((pgrep -f '.*')\)$", TUTORIAL.read_text(), re.MULTILINE)
    (up.directory / "office.yaml").write_text(OFFICE.replace("°C", "K"))
    own = command.replace("pgrep", f"pgrep -P {up.process.pid}")
    kill = await asyncio.create_subprocess_exec("/bin/sh", "-c", f"kill -HUP $({own})")
    assert await kill.wait() == 0
    logs = [up.directory / ".traksense" / f"{service}.log" for service in ("receiver", "writer")]
    await eventually(lambda: all("mappings reloaded" in log.read_text() for log in logs))


@pytest.mark.long
async def test_a_mapping_is_found_where_up_was_started(up: Up) -> None:
    """Its own tests are run by both services."""
    (up.directory / "office.yaml").write_text(OFFICE)
    up.start(INGEST_MAPPINGS="office.yaml")
    await up.says("publish   mosquitto_pub")
    published = up.command("mapping", "test", "office.yaml")
    assert published.returncode == 0, published.stderr
    async with aiomqtt.Client("127.0.0.1", up.ports["UP_MQTT_PORT"]) as client:
        await client.publish("office/lab/t1", b'{"at": 1735689600, "temp": 21.5}', qos=1)
    await eventually(lambda: up.count("ts_measure", "device_id = 't1' AND v_num = 21.5"))
    await loaded_again_as_documented(up)
    assert up.stop() == 0
    (up.directory / "office.yaml").write_text(OFFICE.replace("v_num: 21.5", "v_num: 2"))
    up.start(INGEST_MAPPINGS="office.yaml")
    assert up.process.wait(120) == 2
    assert "office.yaml:" in up.said


@pytest.mark.long
async def test_a_crashed_part_is_restarted_and_killed_with_9_it_leaves_nothing_behind(up: Up) -> None:
    up.start("--simulate", "5")
    await up.says("publish   mosquitto_pub")
    (writer,) = [pid for pid in children_in(up.directory) if is_service(pid, "writer")]
    os.kill(writer, signal.SIGKILL)
    await up.says("writer was killed by signal 9: restarting it")
    before = await up.count("ts_measure")
    await eventually(lambda: _grows(up, before), "rows again", timeout=120)

    up.process.kill()
    up.process.wait()
    await eventually(lambda: not children_in(up.directory), "no child outlives it")
    up.start()
    await up.says("publish   mosquitto_pub")
    assert up.stop() == 0


async def _grows(up: Up, before: int) -> bool:
    return await up.count("ts_measure") > before


def in_a_browser(link: str) -> tuple[Browser, int]:
    """A new one that has opened it, and the status."""
    address = urlsplit(link)
    browser = Browser(address.port or 0)
    return browser, browser.get(f"{address.path}?{address.query}").status


def opens(link: str) -> bool:
    """Whether it does, by now."""
    try:
        return in_a_browser(link)[1] == 303
    except OSError:
        return False


@pytest.mark.long
async def test_a_link_opens_the_console_and_the_next_one_is_shown(up: Up) -> None:
    up.start("--simulate", "5")
    await eventually(lambda: up.links, lambda: up.said, timeout=120)
    browser, status = in_a_browser(up.links[0])
    assert (status, browser.get("/").status) == (303, 200)
    await eventually(lambda: len(up.links) == 2, lambda: up.said)
    assert in_a_browser(up.links[0])[1] == 403
    assert in_a_browser(up.links[1])[1] == 303
    await eventually(lambda: len(up.links) == 3, lambda: up.said)
    opened = up.links
    assert (up.directory / ".traksense" / "console.link").stat().st_mode & 0o777 == 0o600
    assert "token=" not in (up.directory / ".traksense" / "console.log").read_text()

    (console,) = [
        pid for pid in children_in(up.directory) if b"\0console\0" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    os.kill(console, signal.SIGKILL)
    await up.says("console was killed by signal 9: restarting it")
    await eventually(lambda: up.links[-1] not in opened, lambda: up.said)
    await eventually(lambda: opens(up.links[-1]))
    assert up.stop() == 0, up.said
    assert re.findall(r"stopping (\w+) …", up.said)[0] == "console"


@pytest.mark.long
async def test_without_the_console_nothing_listens_for_it(up: Up) -> None:
    up.start("--no-console")
    await up.says("publish   mosquitto_pub")
    with socket.create_server(("127.0.0.1", up.ports["CONSOLE_PORT"])):
        assert "console" not in up.said
    assert up.stop() == 0


async def test_a_busy_port_is_named_with_the_variable(up: Up) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        up.ports["UP_REDIS_PORT"] = taken.getsockname()[1]
        up.start()
        assert up.process.wait(60) == 2
    last = up.said.strip().splitlines()
    assert any(f"port {up.ports['UP_REDIS_PORT']} (redis) is taken by another program" in line for line in last)
    assert any("UP_REDIS_PORT" in line and "REDIS_URL" in line for line in last)
    assert "Traceback" not in up.said


@pytest.mark.long
async def test_taken_ports_are_replaced_by_free_ones_that_it_prints(up: Up) -> None:
    with ExitStack() as others:
        for port in (
            1883,
            6379,
            5432,
            9100,
            9180,
        ):  # in whose place `up` looks for others; somebody may have them already
            with suppress(OSError):
                others.enter_context(socket.create_server(("127.0.0.1", port)))
        up.ports = {}
        up.start()
        await up.says("moved     export ")
        assert up.said.count("is taken by another program") == 5, up.said
        exported = re.search(r"export (MQTT_URL=\S+) (REDIS_URL=\S+) (DATABASE_URL=\S+)", up.said)
        assert exported, up.said
        urls = dict(word.split("=", 1) for word in exported.groups())
        metrics = re.search(r"validate (--receiver-metrics \S+ --writer-metrics \S+)", up.said)
        assert metrics, up.said
        checked = up.command("validate", *metrics[1].split(), "--points", "1000", "--min-rate", "1", **urls)
        assert checked.returncode == 0, checked.stdout + checked.stderr
        assert up.stop() == 0
