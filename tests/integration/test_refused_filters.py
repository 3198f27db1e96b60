"""SIGHUP to a receiver, and a broker that refuses to subscribe to what the new mappings name: the old ones stay."""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.brokers import Configured, stack_on
from tests.support.mapping_files import TOPIC, Folder, reading, readings
from tests.support.process import Process
from tests.support.scripted_broker import ScriptedBroker, scripted
from tests.support.services import Services
from tests.support.stack import Stack, telem
from tests.support.streams import entries
from tests.support.waiting import eventually
from traksense_ingest.ops.embedded import free_port

PLUGIN = Path("/usr/lib/x86_64-linux-gnu/mosquitto_dynamic_security.so")
OTHER, FORBIDDEN = "others/acme/plant1/n7", "forbidden/{tenant}/{site}/{device}"
KEPT = "mappings not reloaded, the current ones stay in use: it refuses to subscribe to forbidden/+/+/+"
ERRORS = "ingest_mapping_reload_errors_total"

needs_plugin = pytest.mark.skipif(not PLUGIN.exists(), reason="needs Mosquitto's dynamic security plugin")


class Refusing(Configured):
    """A Mosquitto that refuses subscriptions to `forbidden/…`: its ACL files are about messages alone."""

    def _prepare(self) -> None:
        rules = self.directory / "rules.json"
        self.line = f"plugin {PLUGIN}\nplugin_opt_config_file {rules}"
        super()._prepare()
        kinds = ("publishClientSend", "publishClientReceive", "subscribe", "unsubscribe")
        denied = {"acltype": "subscribePattern", "topic": "forbidden/#", "priority": 1, "allow": False}
        content = {
            "defaultACLAccess": dict.fromkeys(kinds, True),
            "clients": [],
            "groups": [{"groupname": "all", "roles": [{"rolename": "all"}]}],
            "roles": [{"rolename": "all", "acls": [denied]}],
            "anonymousGroup": "all",
        }
        rules.write_text(json.dumps(content))
        rules.chmod(0o600)


@pytest.fixture
async def refusing(services: Services, database: str, tmp_path: Path) -> AsyncIterator[Stack]:
    broker = Refusing(tmp_path / "mosquitto", free_port())
    async with stack_on(broker, services, database, tmp_path) as stack:
        yield stack


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path / "mappings")
    folder.put(readings())
    return folder


def others() -> str:
    return readings(name="others", topic="others/{tenant}/{site}/{device}")


async def topics(stack: Stack, count: int) -> list[bytes]:
    async def have_come() -> bool:
        return await stack.backlog() >= count

    await eventually(have_come)
    return sorted(fields[b"topic"] for fields in await entries(stack))


@needs_plugin
@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
async def test_filters_that_are_refused_while_it_is_connected(refusing: Stack, folder: Folder, protocol: str) -> None:
    stack = refusing
    receiver = await stack.receiver(INGEST_MAPPINGS=folder, MQTT_PROTOCOL=protocol)
    await refuses(stack, receiver, folder)


@needs_plugin
@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
async def test_filters_that_are_refused_at_the_next_connection(refusing: Stack, folder: Folder, protocol: str) -> None:
    stack = refusing
    receiver = await stack.receiver(INGEST_MAPPINGS=folder, MQTT_PROTOCOL=protocol)
    stack.broker.stop()
    await receiver.says("broker is unreachable")
    folder.put(readings(name="forbidden", topic=FORBIDDEN), "forbidden")
    receiver.signal(signal.SIGHUP)
    await receiver.says("mappings read; they are used once the broker accepts their filters")
    assert "mappings reloaded" not in receiver.log
    stack.broker.start()
    await is_as_before(stack, receiver)


async def refuses(stack: Stack, receiver: Process, folder: Folder) -> None:
    folder.put(readings(name="forbidden", topic=FORBIDDEN), "forbidden")
    receiver.signal(signal.SIGHUP)
    await is_as_before(stack, receiver)


async def is_as_before(stack: Stack, receiver: Process) -> None:
    await receiver.counts(ERRORS, 1)
    await receiver.ready()
    assert receiver.log.count(KEPT) == 1
    assert "mappings reloaded" not in receiver.log
    assert "Traceback" not in receiver.log
    assert 'name="forbidden"' not in receiver.get("/metrics")[1]
    await stack.publish((TOPIC, reading()), telem())
    assert await topics(stack, 2) == sorted([TOPIC.encode(), telem()[0].encode()])


async def test_filters_that_are_accepted_at_the_next_connection(retaining: Stack, folder: Folder) -> None:
    stack = retaining
    receiver = await stack.receiver(INGEST_MAPPINGS=folder)
    stack.broker.stop()
    await receiver.says("broker is unreachable")
    folder.put(others(), "others")
    folder.remove()
    receiver.signal(signal.SIGHUP)
    await receiver.says("mappings read")
    assert 'name="readings"' in receiver.get("/metrics")[1], "the old ones count until then"
    stack.broker.start()
    await receiver.says("mappings reloaded")
    await receiver.says("unsubscribed from readings/+/+/+")
    assert receiver.metric(ERRORS) == 0
    await stack.publish((TOPIC, reading()), (OTHER, reading()))
    assert await topics(stack, 1) == [OTHER.encode()]


async def test_a_broker_that_hangs_up_on_the_new_filters(stack: Stack, folder: Folder) -> None:
    """As AWS IoT Core does in the place of a refusal; the second time, after it has accepted the current ones."""
    hang_ups = 3
    broker = ScriptedBroker(lambda number: b"\x01" * 4 if number in (0, 2, 4) or number > 2 * hang_ups - 1 else None)
    async with scripted(broker):
        receiver = await reloading(stack, folder, broker)
        await receiver.counts(ERRORS, 1)
        await receiver.ready()
    assert broker.subscribed == 1 + 2 * hang_ups
    assert "the current ones stay in use: the broker has ended 3 connections at their filters" in receiver.log


async def test_a_broker_that_hangs_up_on_all_filters_for_a_while_refuses_none(stack: Stack, folder: Folder) -> None:
    """As one that is being restarted: the new filters are accepted when it works again."""
    broker = ScriptedBroker(lambda number: b"\x01" * 4 if number == 0 or number > 5 else None)
    async with scripted(broker):
        receiver = await reloading(stack, folder, broker)
        await receiver.says("mappings reloaded")
        await receiver.ready()
    assert receiver.metric(ERRORS) == 0


async def reloading(stack: Stack, folder: Folder, broker: ScriptedBroker) -> Process:
    """A receiver that has been asked to use other mappings, too."""
    receiver = await stack.receiver(INGEST_MAPPINGS=folder, MQTT_URL=broker.url, MQTT_PROTOCOL="5")
    folder.put(others(), "others")
    receiver.signal(signal.SIGHUP)
    return receiver
