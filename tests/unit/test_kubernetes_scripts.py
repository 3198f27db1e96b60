"""The scripts of deploy/helm: the sidecar that ends the session of a removed receiver, and `validate` for every pod."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from types import SimpleNamespace as Namespace
from typing import Any

import pytest

from deploy.helm.render import CHART
from tests.support.api_server import api_server
from tests.support.certificates import can_sign
from tests.unit.test_help import parse
from traksense_ingest.shared.streams.heartbeat import GONE_S

LEAVE = CHART / "files" / "leave.py"
needs_openssl = pytest.mark.skipif(not can_sign(), reason="openssl is not installed")


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, CHART / "files" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def stopped(folder: Path, environment: dict[str, str], pod: str) -> tuple[int, list[str], list[dict[str, Any]]]:
    """A sidecar after SIGTERM: its exit code, what it ran, its log."""
    program = folder / "traksense-ingest"
    program.write_text(f'#!/bin/sh\necho "$MQTT_CLIENT_ID: $*" >> {folder}/calls\n')
    program.chmod(0o755)
    given = {"PATH": f"{folder}:{os.environ['PATH']}", "MQTT_CLIENT_ID": pod, **environment}
    command = [sys.executable, str(LEAVE), str(folder / "account")]
    with subprocess.Popen(command, env=given, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        assert "waiting until the receiver has stopped" in process.stderr.readline()
        process.terminate()
        _, log = process.communicate(timeout=60)
    calls = folder / "calls"
    ran = calls.read_text().splitlines() if calls.exists() else []
    return process.returncode, ran, [json.loads(line) for line in log.splitlines()]


@needs_openssl
@pytest.mark.parametrize(
    ("pod", "replicas", "leaves"),
    [
        ("traksense-receiver-2", 2, True),  # scaled down from three
        ("traksense-receiver-10", 9, True),
        ("traksense-receiver-1", 2, False),  # restarted, or moved to another node
        ("traksense-receiver-0", 1, False),
        ("traksense-receiver-0", 0, False),  # nobody would take its share
        ("traksense-receiver-1", 0, False),
    ],
)
def test_a_session_ends_where_its_receiver_is_removed(tmp_path: Path, pod: str, replicas: int, leaves: bool) -> None:
    with api_server(tmp_path / "account", replicas) as environment:
        code, ran, log = stopped(tmp_path, environment, pod)
    assert (code, ran) == (0, [f"{pod}: receiver --leave"] if leaves else [])
    assert [line["message"] for line in log] == (
        [] if leaves else [f"the session stays: {replicas} receivers are wanted"]
    )


@needs_openssl
@pytest.mark.parametrize("wrong", [{"STATEFULSET": "another"}, {"KUBERNETES_SERVICE_PORT": "1"}], ids=str)
def test_a_session_stays_where_the_api_server_does_not_say(tmp_path: Path, wrong: dict[str, str]) -> None:
    """It may not, it is not there, or the StatefulSet is deleted."""
    with api_server(tmp_path / "account", 1) as environment:
        code, ran, (line,) = stopped(tmp_path, environment | wrong, "traksense-receiver-5")
    assert (code, ran) == (1, [])
    assert (line["level"], line["client_id"]) == ("WARNING", "traksense-receiver-5")
    assert line["message"].startswith("the session stays: the API server did not say how many receivers are wanted: ")


@pytest.mark.parametrize(
    ("codes", "tries", "last"), [([0], 1, 0), ([1, 0], 1, 1), ([2, 2, 0], 3, 0), ([2] * 9, 5, 2)], ids=str
)
def test_it_tries_again_while_redis_has_heard_of_the_receiver(
    monkeypatch: pytest.MonkeyPatch, codes: list[int], tries: int, last: int
) -> None:
    """As after a kill -9, for 15 s; another error is in the log, and ends it."""
    leave = script("leave")
    left, pauses = iter(codes), list[float]()
    monkeypatch.setattr(leave, "subprocess", Namespace(call=lambda command: next(left)))
    monkeypatch.setattr(leave, "time", Namespace(sleep=pauses.append))
    assert leave.leave() == last
    assert len(pauses) == tries - 1
    assert leave.TRIES * leave.PAUSE_S > GONE_S


def test_validate_asks_every_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    validate = script("validate")
    addresses = {"traksense-receiver": ["10.0.0.2", "10.0.0.1"], "traksense-writer": ["fd00::7", "fd00::7"]}

    def resolve(host: str, port: int, type: int) -> list[Any]:  # noqa: A002
        return [(socket.AF_INET, type, 6, "", (address, port)) for address in addresses[host]]

    ran: list[list[str]] = []
    monkeypatch.setattr(validate.socket, "getaddrinfo", resolve)
    monkeypatch.setattr(validate.os, "execvp", lambda file, command: ran.append(command))
    monkeypatch.setenv("RECEIVERS", "traksense-receiver")
    monkeypatch.setenv("WRITERS", "traksense-writer")
    monkeypatch.setattr(sys, "argv", ["validate.py", "--json"])
    validate.main()
    (command,) = ran
    assert command == [
        *("traksense-ingest", "validate"),
        *("--receiver-metrics", "http://10.0.0.1:9101/metrics", "--receiver-metrics", "http://10.0.0.2:9101/metrics"),
        *("--writer-metrics", "http://[fd00::7]:9100/metrics", "--json"),
    ]
    assert parse(command[1:]).params["receiver_metrics"] == tuple(command[3:6:2])
