"""A receiver and a writer that are started with one environment, which was made for a single service."""

from __future__ import annotations

import json
import re

import pytest

from tests.support.process import Process
from tests.support.stack import Stack, telem
from tests.support.waiting import eventually
from traksense_ingest.ops.embedded import free_port

pytestmark = pytest.mark.long  # of `make test-all`

UNREACHABLE = 1e12  # points/s: what `validate` can't find, it says
OTHER = {"receiver": "writer", "writer": "receiver"}


async def serving(process: Process) -> Process:
    """Ready on the port that its log names."""
    await process.says("metrics on port ")
    found = re.search(r"metrics on port (\d+)", process.log)
    assert found, process.log
    process.port = int(found[1])
    return await process.ready()


async def test_both_start_at_the_same_moment_and_validate_finds_them(stack: Stack) -> None:
    port = free_port(2)
    started = [stack.start(service, METRICS_PORT=port) for service in OTHER]
    receiver, writer = [await serving(process) for process in started]
    assert sorted([receiver.port, writer.port]) == [port, port + 1]
    first, second = sorted((receiver, writer), key=lambda process: process.port)
    moved = (
        f"port {port} is taken by the {first.name} of this host, so metrics are on port {port + 1}; set METRICS_PORT"
    )
    assert moved in second.log
    assert "is taken by" not in first.log
    assert "ingest_received_messages_total" in receiver.get("/metrics")[1]
    assert "ingest_points_total" in writer.get("/metrics")[1]

    checked = await stack.command(
        *("validate", "--json", "--points", "1000", f"--min-rate={UNREACHABLE}", "--max-p50=60"), METRICS_PORT=port
    )
    throughput = json.loads(checked.stdout)["checks"][3]
    assert "receiver ready; writer ready" in throughput["detail"], checked.stdout


@pytest.mark.parametrize("service", OTHER)
async def test_a_third_process_is_an_error(stack: Stack, service: str) -> None:
    """Whichever it is: two of one service on one port are a mistake, next to the other one as well."""
    port = free_port(3)
    for each in (service, OTHER[service]):
        await serving(stack.start(each, METRICS_PORT=port))
    third = stack.start(OTHER[service], METRICS_PORT=port, MQTT_CLIENT_ID="another")
    assert third.wait() == 2
    said = f"port {port} on 127.0.0.1 is taken by the {service}, and port {port + 1} can't be used for metrics either"
    assert said in third.log.splitlines()[-1]


@pytest.mark.long
async def test_every_variable_of_the_first_version_is_understood_by_both(stack: Stack) -> None:
    """As one file for both has them, with the values that are the defaults; what is unknown is a warning."""
    environment = {
        "MQTT_TOPICS": "traksense/+/+/+/telem,traksense/+/+/+/ack,traksense/+/+/+/event",
        "MQTT_QOS": "1",
        "MQTT_PROTOCOL": "3.1.1",
        "MQTT_CLIENT_ID": "traksense-ingest",
        "MQTT_SHARED_GROUP": "",
        "MQTT_USERNAME": "",
        "MQTT_PASSWORD": "",
        "MQTT_TLS_CA": "",
        "MQTT_TLS_CERT": "",
        "MQTT_TLS_KEY": "",
        "INGEST_QUEUE_MAX": "50000",
        "INGEST_BATCH_SIZE": "800",
        "INGEST_BATCH_MS": "250",
        "DB_POOL_MIN": "2",
        "DB_POOL_MAX": "8",
        "METRICS_PORT": free_port(2),
        "LOG_LEVEL": "info",
        "INGEST_WORKERS": "4",
    }
    services = [await serving(stack.start(service, **environment)) for service in OTHER]
    for service in services:
        assert "ignoring the variable INGEST_WORKERS" in service.log
    await stack.publish(telem(second=1))
    await eventually(lambda: services[1].metric("ingest_points_total"), "a point is stored")
    assert [service.stop() for service in services] == [0, 0]
