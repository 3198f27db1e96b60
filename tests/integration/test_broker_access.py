"""The broker's ACL of docs/security.md binds a tenant to its topics, which are all that the pipeline trusts."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar

import aiomqtt
import pytest

from tests.support.handbook import blocks
from tests.support.services import Services
from tests.support.stack import Stack, telem
from traksense_ingest.ops.embedded import free_port
from traksense_ingest.ops.embedded.debian import Mosquitto
from traksense_ingest.ops.embedded.ports import ask

pytestmark = pytest.mark.skipif(
    not (Mosquitto.installed() and shutil.which("mosquitto_passwd")), reason="needs Debian's mosquitto"
)
SECRET = "s3cret-of-the-test"
USERS = ("receiver", "acme", "globex", "ac+me")


class Guarded(Mosquitto):
    """A Mosquitto that asks for a password and keeps to an ACL."""

    rules: ClassVar[str] = blocks("mosquitto")[0]

    def _prepare(self) -> None:
        super()._prepare()
        passwords, rules = self.directory / "passwords", self.directory / "acl"
        passwords.touch(mode=0o600)
        for user in USERS:
            subprocess.run(["mosquitto_passwd", "-b", str(passwords), user, SECRET], check=True, capture_output=True)
        rules.write_text(self.rules)
        rules.chmod(0o600)
        config = self._config_path.read_text().replace("allow_anonymous true", "allow_anonymous false")
        self._config_path.write_text(f"{config}password_file {passwords}\nacl_file {rules}\n")

    def _answers(self) -> bool:
        return ask(self.port, b"\x10\x0f\x00\x04MQTT\x04\x02\x00\x0a\x00\x03ask").startswith(b"\x20\x02")  # CONNACK


@pytest.fixture
async def guarded(services: Services, database: str, tmp_path: Path) -> AsyncIterator[Stack]:
    with Guarded(tmp_path / "broker", free_port()) as broker, services.redis(tmp_path) as redis:
        stack = Stack(broker, redis, database, tmp_path)
        yield stack
        await stack.close()


@asynccontextmanager
async def device(stack: Stack, user: str, identifier: str = "device") -> AsyncIterator[aiomqtt.Client]:
    port = stack.broker.port
    async with aiomqtt.Client("127.0.0.1", port, username=user, password=SECRET, identifier=identifier) as client:
        yield client


async def tries(stack: Stack, user: str, topic: str, payload: bytes = telem()[1], identifier: str = "device") -> None:
    """Publish over a connection of its own: Mosquitto hangs up on who publishes where it may not, after a PUBACK."""
    with contextlib.suppress(aiomqtt.MqttError):
        async with device(stack, user, identifier) as client:
            await client.publish(topic, payload, qos=1)


async def test_a_tenant_writes_under_its_own_name_and_nowhere_else(guarded: Stack) -> None:
    await guarded.receiver(MQTT_USERNAME="receiver", MQTT_PASSWORD=SECRET)
    await guarded.writer()
    claims = {"tenant_id": "globex", "tenant": "globex", "device_id": "victim"}
    payload = json.dumps(json.loads(telem()[1]) | claims | {"meta": claims}).encode()
    for tenant in ("globex", "acme2", "ACME", "", "..", "acme/../globex", "globex/acme"):
        await tries(guarded, "acme", f"traksense/{tenant}/site/dev/telem", payload)
    await tries(guarded, "acme", "elsewhere", payload)
    await tries(guarded, "ac+me", "traksense/acme/site/dev/telem", payload)
    await tries(guarded, "receiver", "traksense/acme/site/dev/telem", payload)
    await tries(guarded, "acme", "traksense/acme/site/dev/telem", payload)
    await guarded.has_rows("ts_measure", 1)
    for table in ("ts_measure", "device"):
        (row,) = await guarded.fetch(f"SELECT tenant_id, device_id FROM {table}")
        assert tuple(row) == ("acme", "dev")
    assert await guarded.count("ingest_errors") == 0


async def test_nobody_but_the_receiver_reads(guarded: Stack) -> None:
    async with device(guarded, "acme") as client, device(guarded, "receiver", "other") as receiver:
        for name in ("#", "traksense/#", "traksense/globex/#", "traksense/+/+/+/telem"):
            await client.subscribe(name, qos=1)  # Mosquitto 2.0 takes it, and delivers nothing
        await receiver.subscribe("traksense/#", qos=1)
        async with device(guarded, "globex", "third") as other:
            await other.publish("traksense/globex/s/d/telem", b"secret", qos=1)
        heard = await anext(receiver.messages)
        assert str(heard.topic) == "traksense/globex/s/d/telem"
        await client.publish("traksense/acme/s/d/telem", b"last", qos=1)
        assert len(client.messages) == 0


async def test_a_wrong_password_is_refused(guarded: Stack) -> None:
    receiver = guarded.start("receiver", MQTT_USERNAME="receiver", MQTT_PASSWORD="wrong")
    assert receiver.wait() == 2
    assert receiver.log.splitlines()[-1].startswith("MQTT_URL: broker: ")


@pytest.mark.parametrize("group", ["", "group"])
async def test_the_receiver_may_share(guarded: Stack, group: str) -> None:
    await guarded.receiver(MQTT_USERNAME="receiver", MQTT_PASSWORD=SECRET, MQTT_SHARED_GROUP=group)
    await guarded.writer()
    async with device(guarded, "globex") as client:
        await client.publish(*telem(tenant="globex"), qos=1)
    await guarded.has_rows("ts_measure", 1)


async def test_a_device_can_be_bound_to_itself(services: Services, database: str, tmp_path: Path) -> None:
    class Bound(Guarded):
        rules = "pattern write traksense/%u/+/%c/#\nuser receiver\ntopic read traksense/#\n"

    with Bound(tmp_path / "broker", free_port()) as broker, services.redis(tmp_path) as redis:
        stack = Stack(broker, redis, database, tmp_path)
        await stack.receiver(MQTT_USERNAME="receiver", MQTT_PASSWORD=SECRET)
        await stack.writer()
        for tenant, name in (("acme", "freezer"), ("globex", "fridge"), ("acme", "fridge")):
            await tries(stack, "acme", telem(name, tenant=tenant)[0], identifier="fridge")
        await stack.has_rows("ts_measure", 1)
        assert await stack.fetchval("SELECT device_id FROM ts_measure") == "fridge"
        await stack.close()
