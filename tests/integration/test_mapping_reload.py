"""SIGHUP: other mappings count from then on, or the old ones stay."""

from __future__ import annotations

import signal
from functools import partial
from pathlib import Path

import pytest

from tests.support.mapping_files import TOPIC, Folder, reading, readings
from tests.support.process import Process
from tests.support.stack import Stack, telem
from tests.support.status_reports import report_of
from tests.support.streams import entries
from tests.support.waiting import eventually

OTHER = "others/acme/plant1/n7"
BROKEN = """\
version: 1
name: broken
tenant: {from: nowhere}
routes:
  - name: one
    topics: "broken/#/x"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path / "mappings")
    folder.put(readings())
    return folder


def other() -> str:
    return readings(name="others", topic="others/{tenant}/{site}/{device}")


async def reload(*processes: Process) -> None:
    for process in processes:
        done = _reloads(process)
        process.signal(signal.SIGHUP)
        await eventually(partial(_has_reloaded, process, done), process.name)


def _reloads(process: Process) -> int:
    return process.log.count("mappings reloaded")


def _has_reloaded(process: Process, done: int) -> bool:
    return _reloads(process) > done


async def test_a_mapping_that_is_added_and_one_that_is_removed(retaining: Stack, folder: Folder) -> None:
    stack = retaining
    receiver, writer = await stack.receiver(INGEST_MAPPINGS=folder), await stack.writer(INGEST_MAPPINGS=folder)
    await stack.publish((TOPIC, reading()), (OTHER, reading()))
    await stack.has_rows("ts_measure", 1)
    folder.put(other(), "others")
    folder.remove()
    await reload(writer, receiver)
    assert "readings removed" in writer.log
    await receiver.says("unsubscribed from readings/+/+/+")
    await stack.publish((TOPIC, reading(6)), (OTHER, reading(7)), telem())
    await stack.has_rows("ts_measure", 3)
    assert await stack.count("ingest_errors") == 0, "the receiver no longer gets what no writer knows"
    for process in (receiver, writer):
        info = [line for line in process.get("/metrics")[1].splitlines() if line.startswith("ingest_mapping_info{")]
        assert sorted(line.partition('name="')[2].partition('"')[0] for line in info) == [
            *("je02", "others", "parsec", "v1", "v1-unknown"),
        ]
        assert process.metric("ingest_mapping_reload_errors_total") == 0


async def test_a_fault_keeps_the_old_ones_and_each_fault_is_logged(stack: Stack, folder: Folder) -> None:
    receiver, writer = await stack.receiver(INGEST_MAPPINGS=folder), await stack.writer(INGEST_MAPPINGS=folder)
    folder.put(BROKEN, "broken")
    for process in (receiver, writer):
        process.signal(signal.SIGHUP)
        await process.counts("ingest_mapping_reload_errors_total", 1)
        assert "broken.yaml:3:" in process.log
        assert "broken.yaml:6:" in process.log
        assert "Traceback" not in process.log
    await stack.publish((TOPIC, reading()))
    await stack.has_rows("ts_measure", 1)
    folder.put(readings("{path: nothing}"))
    folder.remove("broken")
    writer.signal(signal.SIGHUP)
    await writer.counts("ingest_mapping_reload_errors_total", 2)
    assert "tests: one: " in writer.log, "its own test fails"
    await stack.publish((TOPIC, reading(6)))
    await stack.has_rows("ts_measure", 2)
    folder.put(readings("{path: temp, unit: °C}").replace("v_num: 4.5", "v_num: 4.5, unit: °C"))
    await reload(writer)
    await stack.publish((TOPIC, reading(7)))
    await stack.has_rows("ts_measure", 3)
    assert await stack.fetchval("SELECT unit FROM ts_measure ORDER BY ts DESC LIMIT 1") == "°C"


@pytest.mark.long
async def test_status_says_who_runs_with_what(stack: Stack, folder: Folder) -> None:
    receiver = await stack.receiver(INGEST_MAPPINGS=folder, MQTT_CLIENT_ID="receiver-0")
    writer = await stack.writer(INGEST_MAPPINGS=folder)

    async def same() -> bool:
        report = (await report_of(stack))[1]
        return bool(report["mappings"]["same"]) and len(report["mappings"]["groups"][0]["processes"]) == 2

    await eventually(same)
    assert "mappings: readings " in (await stack.status()).stdout
    folder.put(other(), "others")
    await reload(receiver)

    async def different() -> bool:
        return not (await report_of(stack))[1]["mappings"]["same"]

    await eventually(different)
    shown = await stack.status()
    assert shown.returncode == 0
    assert "receivers and writers run with different mappings" in shown.stdout
    assert "receiver receiver-0: others " in shown.stdout
    await reload(writer)
    await eventually(same)
    assert writer.stop() == 0
    assert (await report_of(stack))[1]["writers"] == []


@pytest.mark.long
async def test_status_says_whose_last_reload_failed(stack: Stack, folder: Folder) -> None:
    receiver = await stack.receiver(INGEST_MAPPINGS=folder, MQTT_CLIENT_ID="receiver-0")
    writer = await stack.writer(INGEST_MAPPINGS=folder)
    folder.put(BROKEN, "broken")
    for process in (receiver, writer):
        process.signal(signal.SIGHUP)
        await process.counts("ingest_mapping_reload_errors_total", 1)
        assert process.metric("ingest_mapping_last_reload_successful") == 0

    async def failed() -> list[dict[str, str]]:
        return list((await report_of(stack))[1]["mappings"]["failed_reloads"])

    async def are(count: int) -> bool:
        return len(await failed()) == count

    await eventually(partial(are, 2))
    by_receiver, by_writer = await failed()
    assert by_receiver["process"] == "receiver receiver-0"
    assert by_writer["process"].startswith("writer ")
    assert all("broken.yaml:3:" in each["error"] and each["error"].endswith("more)") for each in await failed())
    shown = await stack.status(COLUMNS=300)
    assert shown.returncode == 0
    assert "receiver receiver-0: its last reload failed, see its log: " in shown.stdout
    folder.remove("broken")
    await reload(receiver, writer)
    await eventually(partial(are, 0))
    assert [process.metric("ingest_mapping_last_reload_successful") for process in (receiver, writer)] == [1, 1]
    assert "failed" not in (await stack.status()).stdout


@pytest.mark.parametrize("service", ["receiver", "writer"])
async def test_a_broken_mapping_ends_a_process_at_start_with_all_faults(
    stack: Stack, folder: Folder, service: str
) -> None:
    folder.put(BROKEN, "broken")
    process = stack.start(service, INGEST_MAPPINGS=folder)
    assert process.wait() == 2
    assert "broken.yaml:3:" in process.log
    assert "broken.yaml:6:" in process.log
    assert "Traceback" not in process.log


async def test_a_broken_mapping_ends_a_replay_before_it_begins(stack: Stack, folder: Folder) -> None:
    folder.put(BROKEN, "broken")
    replay = await stack.command("dlq", "replay", "--all", INGEST_MAPPINGS=folder)
    assert (replay.returncode, replay.stdout) == (2, "")
    assert "broken.yaml:3:" in replay.stderr
    assert "broken.yaml:6:" in replay.stderr


async def test_the_embedded_broker_answers_unsubscribe_for_each_filter(stack: Stack, folder: Folder) -> None:
    """Only for those that this connection has subscribed to."""
    folder.put(readings(name="more", topic="more/{tenant}/{site}/{device}"), "more")
    receiver = await stack.receiver(INGEST_MAPPINGS=folder)
    folder.put(other(), "others")
    folder.remove()
    folder.remove("more")
    await reload(receiver)
    await receiver.says("unsubscribed from ")
    await stack.publish((TOPIC, reading()), (OTHER, reading()))
    await eventually(stack.backlog)
    assert [fields[b"topic"] for fields in await entries(stack)] == [OTHER.encode()]
    assert receiver.stop() == 0
    assert "ERROR" not in receiver.log
