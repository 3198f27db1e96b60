"""`validate` on brokers that limit, lack or refuse something."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.aedes import Aedes
from tests.support.brokers import Configured, needs_aedes, needs_mosquitto, stack_on
from tests.support.process import Process
from tests.support.scripted_broker import PUBLISH, ScriptedBroker, scripted
from tests.support.services import Services
from tests.support.stack import Stack
from traksense_ingest.ops.embedded import free_port
from traksense_ingest.ops.validate.probe import Options
from traksense_ingest.ops.validate.run import run
from traksense_ingest.shared.config import load


async def validate(stack: Stack, receiver: Process, writer: Process, *options: str, **variables: str) -> dict[str, Any]:
    """The report of `traksense-ingest validate`."""
    metrics = [f"--{process.name}-metrics=http://127.0.0.1:{process.port}/metrics" for process in (receiver, writer)]
    words = ["--json", "--points=500", "--min-rate=1", "--max-p50=60", *metrics, *options]
    done = await stack.command("validate", *words, **variables)
    assert done.stdout, done.stderr
    return dict(json.loads(done.stdout))


@needs_mosquitto
@pytest.mark.long
async def test_validate_keeps_to_the_brokers_receive_maximum(services: Services, database: str, tmp_path: Path) -> None:
    class Narrow(Configured):
        line = "max_inflight_messages 10"

    async with stack_on(Narrow(tmp_path / "broker", free_port()), services, database, tmp_path) as stack:
        services_ = await stack.receiver(MQTT_PROTOCOL="5"), await stack.writer()
        report = await validate(stack, *services_, MQTT_PROTOCOL="5")
    assert report["passed"], report


@needs_aedes
async def test_validate_names_the_group_that_gets_nothing(services: Services, database: str, tmp_path: Path) -> None:
    async with stack_on(Aedes(tmp_path / "broker", free_port()), services, database, tmp_path) as stack:
        receiver, writer = await stack.receiver(MQTT_SHARED_GROUP="g"), await stack.writer()
        report = await validate(stack, receiver, writer, "--timeout=2", MQTT_SHARED_GROUP="g")
    assert "the broker does not know shared subscriptions" in report["checks"][0]["detail"]
    assert "the receivers' counters did not move: does the broker know shared" in report["checks"][1]["detail"]


async def test_validate_quotes_a_disconnect_and_connects_again(database: str) -> None:
    broker = ScriptedBroker(disconnect=b"\xe0\x02\x93\x00", hangs_up_on=PUBLISH)
    nowhere = (f"http://127.0.0.1:{free_port()}/metrics",)
    options = Options(timeout=1.0, receiver_metrics=nowhere, writer_metrics=nowhere)
    async with scripted(broker):
        report = await run(load(mqtt_url=broker.url, mqtt_protocol="5", database_url=database), options)
    details = [outcome.finding.detail for outcome in report.outcomes]
    assert [detail for detail in details if "Receive maximum exceeded (0x93)" not in detail] == []
