"""Receivers that run, stop, die, leave or are dismissed, as `status` shows them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.support.process import Process
from tests.support.stack import Stack, telem
from tests.support.status_reports import appended, has_receivers, heartbeat_of, report_of
from tests.support.waiting import eventually
from traksense_ingest.ops.embedded.debian import Mosquitto
from traksense_ingest.shared.streams.heartbeat import KEY

compact = json.JSONEncoder(separators=(",", ":")).encode


@pytest.mark.long
async def test_a_receiver_that_is_gone_stays_visible_until_it_is_back_or_dismissed(stack: Stack) -> None:
    staying, stopping = await stack.receiver(MQTT_CLIENT_ID="staying"), await stack.receiver(MQTT_CLIENT_ID="stopping")
    dying = await stack.receiver(MQTT_CLIENT_ID="dying")
    await eventually(lambda: has_receivers(stack, 3))
    assert stopping.stop() == 0
    dying.kill()
    await last_heard(stack, "dying", 40)
    checked = await stack.status()
    assert checked.returncode == 1, checked.stdout
    (seconds,) = re.findall(r"^dying gone for (\d+) s, its session may hold messages$", checked.stdout, re.MULTILINE)
    assert int(seconds) >= 40
    assert re.search(r"^stopping gone for \d+ m?s, its session may hold messages$", checked.stdout, re.MULTILINE)
    writer = await stack.writer()  # it counts them when it starts, and then every 5 s
    await eventually(lambda: writer.metric("ingest_receivers_gone") == 2)
    await last_heard(stack, "dying", 400 * 86_400)
    await stack.receiver(MQTT_CLIENT_ID="stopping")
    await eventually(lambda: is_back(stack, "stopping"))
    code, report = await report_of(stack)
    gone = {each["client_id"]: each["gone"] for each in report["receivers"]}
    assert (code, gone) == (1, {"staying": False, "stopping": False, "dying": True})
    refused = await stack.status("--dismiss", "staying", "--dismiss", "nobody")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert [line.split(":")[0] for line in refused.stderr.splitlines()] == ["staying", "nobody"]
    dismissed = await stack.status("--dismiss", "dy*")
    assert (dismissed.returncode, dismissed.stdout, dismissed.stderr) == (0, "dying: dismissed\n", "")
    code, report = await report_of(stack)
    assert (code, len(report["receivers"])) == (0, 2)
    await eventually(lambda: writer.metric("ingest_receivers_gone") == 0)
    assert staying.get("/readyz")[0] == 200


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
async def test_a_receiver_that_leaves_takes_what_its_session_holds_and_ends_it(stack: Stack, protocol: str) -> None:
    if not isinstance(stack.broker, Mosquitto):
        pytest.skip("rumqttd, the embedded broker, does not answer UNSUBSCRIBE")
    variables = {"MQTT_CLIENT_ID": "leaving", "MQTT_SHARED_GROUP": "g", "MQTT_PROTOCOL": protocol}
    stopped = await stack.receiver(**variables)
    assert stopped.stop() == 0
    await stack.publish(*(telem(second=second) for second in range(300)))
    assert await stack.backlog() == 0
    code, report = await report_of(stack)
    assert (code, [each["client_id"] for each in report["receivers"]]) == (1, ["leaving"])
    left = await stack.command("receiver", "--leave", METRICS_PORT=0, **variables)
    assert left.returncode == 0, left.stderr
    assert await stack.backlog() == 300
    assert "leaving has left: its session has ended" in left.stderr
    code, report = await report_of(stack)
    assert (code, report["receivers"]) == (0, [])
    await stack.publish(*(telem(second=second) for second in range(300, 310)))
    await stack.receiver(**variables)
    await stack.publish(telem(second=1000))
    await eventually(lambda: appended(stack, "leaving", 1))
    assert await stack.backlog() == 301


async def test_a_receiver_that_runs_is_not_made_to_leave(stack: Stack) -> None:
    running = await stack.receiver(MQTT_CLIENT_ID="running")
    await eventually(lambda: has_receivers(stack, 1))
    refused = await stack.command("receiver", "--leave", MQTT_CLIENT_ID="running")
    assert refused.returncode == 2
    assert refused.stderr.splitlines()[-1].startswith("MQTT_CLIENT_ID='running' still runs")
    assert "another client" not in running.log


async def is_back(stack: Stack, client_id: str) -> bool:
    return (await heartbeat_of(stack, client_id)).get("stopped") is False


async def last_heard(stack: Stack, client_id: str, seconds_ago: int) -> None:
    """As if it had been silent for so long."""
    seconds, _ = await stack.redis.time()
    about = {**await heartbeat_of(stack, client_id), "at": (seconds - seconds_ago) * 1000}
    await stack.redis.hset(KEY, client_id, compact(about))


async def test_names_of_receivers_do_not_pile_up_for_ever(stack: Stack) -> None:
    """As with a random client id at each start: the last thousand are kept."""
    seconds, _ = await stack.redis.time()
    about = {"process": "", "broker": False, "waiting": False, "appended": 0, "appended_per_s": 0}
    ages: dict[Any, Any] = {
        f"random-{age}": compact({"at": (seconds - age) * 1000, **about}) for age in range(3600, 8600)
    }
    await stack.redis.hset(KEY, mapping=ages | {"another client's": "1"})
    checked = await stack.status()
    assert "and 4992 other receivers are gone (no more than 1000 names are kept)" in checked.stdout.splitlines()
    await stack.receiver(MQTT_CLIENT_ID="another")
    await eventually(lambda: has_receivers(stack, 1000))
    assert {*await stack.redis.hkeys(KEY)} == {b"another", *(f"random-{age}".encode() for age in range(3600, 4599))}


async def test_a_receiver_that_never_subscribed_leaves_no_name_behind(stack: Stack) -> None:
    receiver = stack.start("receiver", MQTT_URL="mqtt://127.0.0.1:9", MQTT_CLIENT_ID="never")
    await eventually(lambda: has_receivers(stack, 1))
    assert receiver.stop() == 0
    assert not await stack.redis.exists(KEY)


async def test_a_key_of_another_type_in_the_receivers_place(stack: Stack) -> None:
    await stack.redis.set(KEY, "by hand")
    receiver = await stack.receiver()
    await receiver.says("can't see this receiver: ingest:{receivers}: ")
    checked = await stack.status()
    assert (checked.returncode, "receivers: can't be read" in checked.stdout) == (0, True), checked.stdout
    assert receiver.get("/readyz")[0] == 200
    await stack.redis.delete(KEY)
    await eventually(lambda: has_receivers(stack, 1))
    assert "Traceback" not in receiver.log


async def test_a_receiver_stops_though_redis_is_unreachable(stack: Stack) -> None:
    receiver: Process = await stack.receiver()
    stack.redis_server.kill()
    await receiver.says("redis is unreachable")
    assert receiver.stop() == 0
    assert "can't see this receiver" not in receiver.log
