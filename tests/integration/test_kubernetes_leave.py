"""Receivers on Kubernetes: what a receiver that is scaled away had at the broker is stored, and its session ends."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.helm.render import CHART
from tests.support.api_server import api_server
from tests.support.certificates import can_sign
from tests.support.stack import Stack, telem
from tests.support.status_reports import has_receivers, report_of
from tests.support.waiting import eventually
from traksense_ingest.ops.embedded.debian import Mosquitto

REMOVED = "traksense-receiver-1"


@pytest.mark.skipif(not can_sign(), reason="openssl is not installed")
@pytest.mark.parametrize("replicas", [1, 2], ids=["scaled down", "restarted"])
async def test_only_a_receiver_that_is_scaled_away_ends_its_session(
    stack: Stack, tmp_path: Path, replicas: int
) -> None:
    if not isinstance(stack.broker, Mosquitto):
        pytest.skip("rumqttd, the embedded broker, does not answer UNSUBSCRIBE")
    variables = {"MQTT_SHARED_GROUP": "traksense", "MQTT_PROTOCOL": "5", "MQTT_CLIENT_ID": REMOVED}
    stopped = await stack.receiver(**variables)
    await eventually(lambda: has_receivers(stack, 1))
    assert stopped.stop() == 0
    await stack.publish(*(telem(second=second) for second in range(100)))
    with api_server(tmp_path / "account", replicas) as api:
        code, log = await asyncio.to_thread(sidecar, tmp_path / "account", stack.environment | variables | api)
    assert code == 0, log
    is_left = replicas == 1
    assert (f"{REMOVED} has left: its session has ended" in log) == is_left
    assert await stack.backlog() == (100 if is_left else 0)
    _, report = await report_of(stack)
    assert [each["client_id"] for each in report["receivers"]] == ([] if is_left else [REMOVED])


def sidecar(folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    """Started and stopped as Kubernetes does it, after the receiver."""
    given = {**environment, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = [sys.executable, str(CHART / "files" / "leave.py"), str(folder)]
    with subprocess.Popen(command, env=given, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        assert "waiting until the receiver has stopped" in process.stderr.readline()
        process.terminate()
        _, log = process.communicate(timeout=90)
    return process.returncode, log
