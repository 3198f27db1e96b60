"""The playground: what a form says, what a mapping makes of it as data, and the limits of the process."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import pickle
import resource
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from tests.support.mapping_files import TOPIC, reading, readings
from tests.support.waiting import eventually
from traksense_ingest.ops.console import run
from traksense_ingest.ops.console.options import Options
from traksense_ingest.ops.console.playground.form import Form, Wrong
from traksense_ingest.ops.mapping.playground.answer import Chosen, Kind, drafted, for_trials, tried
from traksense_ingest.ops.mapping.playground.confinement import Limits
from traksense_ingest.ops.mapping.playground.process import LimitedProcesses, Stopped
from traksense_ingest.shared import config
from traksense_ingest.shared.errors import ConfigurationError, IngestError
from traksense_ingest.shared.mapping.expected import Message
from traksense_ingest.shared.mapping.faults import MappingError
from traksense_ingest.shared.mapping.load import load_format, load_text, variables

RECEIVED = datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC)


def result(text: str, payload: bytes = reading(), topic: str = TOPIC) -> dict[str, Any]:
    return tried(Chosen(Kind.TEXT, text=text), Message(topic, payload, RECEIVED), config.load())


def test_a_text_that_is_on_no_disk_is_tried_with_version_1_around_it() -> None:
    found = result(readings())
    assert found["trial"]["heading"] == "readings/reading: 1 row"
    assert found["tests"]["heading"] == "1 of 1 test passes"
    assert list(found["digests"]) == ["v1", "readings", "parsec", "je02", "v1-unknown"]


def test_faults_have_their_place_and_the_word_there() -> None:
    (fault,) = result(readings().replace("path: ts", "path: ts, format: unixms"))["faults"]
    assert (fault["file"], fault["line"], fault["column"]) == ("mapping.yaml", 7, 30)
    assert fault["excerpt"]["at"] == "unixms"
    assert fault["what"].startswith("did you mean unix_ms?")


def test_a_codec_that_does_not_compile_is_a_fault_of_its_route() -> None:
    decode = "    decode: {js: {code: 'function ('}}\n    points"
    (fault,) = result(readings().replace("    points", decode))["faults"]
    assert (fault["line"], fault["where"]) == (5, "readings/reading: decode")
    assert fault["what"].startswith("js: SyntaxError")


def test_an_unused_variable_is_found_in_the_text() -> None:
    (warning,) = result("vars: {x: y}\n" + readings())["warnings"]
    assert (warning["line"], warning["what"]) == (1, "x is never used: ${x} is nowhere")


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "codec.js"])
def test_no_other_file_is_read(name: str) -> None:
    with pytest.raises(MappingError, match="can't read other files"):
        load_text(readings().replace("payload: '", f"payload_file: {name} #'"), "mapping.yaml", {})


def test_a_format_is_named_by_no_path() -> None:
    with pytest.raises(MappingError, match="the library has no mapping"):
        load_format("../mappings/khomp", {})
    with pytest.raises(MappingError, match="khomp has no variable x"):
        load_format("khomp", {"x": "1,/etc/passwd.yaml"})
    with pytest.raises(MappingError, match="expected name=value"):
        variables("tenant")


def test_a_draft_says_which_mapping_of_the_library_reads_all_messages() -> None:
    settings = config.load()
    found = drafted([Message("plant/north/7", b'{"temp": 4.2}', RECEIVED)], settings)
    assert (found["reader"], found["said"]) == (None, ["drafted from 1 message: 1 route and 1 test, which passes"])
    assert 'topics: "plant/{site}/{device}"' in found["text"]
    geo = b'[{"bn":"f803320100024e1a","bt":1795881600},{"n":"rssi","u":"dBW","v":-71}]'
    known = drafted([Message("tenants/umc/sites/a/assets/b/telemetry", geo, RECEIVED)], settings)
    assert (known["reader"], known["text"]) == ("khomp", None)


def test_a_rejected_payload_has_its_lines_or_bytes() -> None:
    shown = result(readings(), b'{"ts": "noon", "temp": 1}')["trial"]["payload"]
    (line,) = [line for line in shown["lines"] if line["wrong"]]
    assert (line["number"], line["wrong"], line["note"][:4]) == (2, '"ts": "noon",', "ts: ")
    assert shown["hex"] is None
    shown = result(readings(), b"ab\xff")["trial"]["payload"]
    assert shown["lines"] == []
    assert shown["hex"]["rows"] == [{"offset": 0, "data": [97, 98, 255], "text": "ab.", "mark": 2}]
    assert result(readings())["trial"]["payload"] is None


@pytest.mark.parametrize("payload", [b"a\r\nb", b"\xff", b"a\0", "\u202e".encode(), b"\x1b[31m"])
def test_a_payload_that_a_form_would_change_is_shown_in_hexadecimal(payload: bytes) -> None:
    form = Form().with_message(Message("t", payload, RECEIVED, retained=True))
    assert (form.is_hex, form.payload, form.is_retained) == (True, payload.hex(), True)
    assert form.message == Message("t", payload, RECEIVED, retained=True)


def test_lines_of_a_form_end_as_they_were() -> None:
    form = Form.of({"topic": "t", "payload": "{\r\n}", "text": "a: 1\r\nname: plant-7\r\n"})
    assert (form.payload, form.text, form.file_name) == ("{\n}", "a: 1\nname: plant-7\n", "plant-7.yaml")


@pytest.mark.parametrize(
    ("form", "field"),
    [
        (Form(payload="x"), "topic"),
        (Form(topic="a/#"), "topic"),
        (Form(topic="a", payload="0", is_hex=True), "payload"),
        (Form(topic="a", received="noon"), "received"),
        (Form(topic="a", received="9999-12-31T23:59:59-10:00"), "received"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(form: Form, field: str) -> None:
    with pytest.raises(Wrong) as wrong:
        _ = form.message
    assert wrong.value.field == field


def test_a_shared_subscription_is_refused() -> None:
    with pytest.raises(Wrong, match="take messages from the receivers"):
        _ = Form(topic="$share/g/plant/#").filter


def _endless() -> None:
    while True:
        pass


def _hungry() -> int:
    return len(bytearray(2**30))


def _killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _failing() -> None:
    raise IngestError("no message came")


async def test_a_process_ends_with_its_answer_or_at_a_limit(caplog: pytest.LogCaptureFixture) -> None:
    processes = LimitedProcesses(Limits(cpu_s=1))
    assert await processes.run(sorted, [2, 1]) == [1, 2]
    with pytest.raises(Stopped, match="more than 1 s of processor time"):
        await processes.run(_endless)
    with pytest.raises(Stopped, match="more than 512 MiB of memory"):
        await processes.run(_hungry)
    with pytest.raises(Stopped, match="it was killed, perhaps because there was no memory left"):
        await processes.run(_killed)
    with pytest.raises(IngestError, match="no message came"):
        await processes.run(_failing)
    with pytest.raises(Stopped, match="a bug"):
        await processes.run(int, "x")
    assert "ValueError" in caplog.text
    with pytest.raises(Stopped, match="it ran for more than 100 ms"):
        await LimitedProcesses(Limits(longest_s=0.1)).run(time.sleep, 60)


def _reachable() -> dict[str, Any]:
    """What a process has of the one that asked for it, and may do."""
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {
        "environment": [Path("/proc/self/environ").read_text(), str(dict(os.environ))],
        "files": sorted(int(name) for name in os.listdir("/proc/self/fd") if _is_open(int(name))),
        "streams": [os.readlink(f"/proc/self/fd/{number}") for number in range(3)],
        "capabilities": [int(status[name], 16) for name in ("CapEff", "CapPrm", "CapInh")],
        "no_new_privs": status["NoNewPrivs"].strip(),
        "ends_first": int(Path("/proc/self/oom_score").read_text()) > 1000,
        "leads_its_session": os.getsid(0) == os.getpid(),
        "limits": [resource.getrlimit(kind)[1] for kind in (resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC)],
    }


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:  # of the listing itself
        return False
    return True


async def test_what_a_process_can_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:secret@db/x")
    monkeypatch.setenv("PGPASSWORD", "secret")
    with socket.socket() as inherited:
        inherited.set_inheritable(True)
        processes = LimitedProcesses()
        vars(forkserver)["_forkserver"]._stop()  # of an earlier test, with another environment
        async with processes.running():
            found = await processes.run(_reachable)
            server = Path(f"/proc/{vars(forkserver)['_forkserver']._forkserver_pid}")
            assert "secret" not in (server / "environ").read_text() + (server / "cmdline").read_text()
    assert "secret" not in str(found["environment"])
    assert (len(found["files"]), found["streams"]) == (4, ["/dev/null"] * 3), "and the pipe for the answer"
    assert (found["capabilities"], found["no_new_privs"], found["limits"]) == ([0, 0, 0], "1", [0, 0])
    assert found["leads_its_session"]
    assert found["ends_first"], "where there is no memory left"
    assert (os.environ["DATABASE_URL"], os.environ["PGPASSWORD"]) == ("postgresql://u:secret@db/x", "secret")


def _leads_its_session(process: BaseProcess) -> bool:
    return process.pid is not None and os.getsid(process.pid) == process.pid


async def test_a_process_ends_with_the_fork_server_which_starts_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it does with a console that is killed."""
    monkeypatch.setenv("PGPASSWORD", "secret")
    processes = LimitedProcesses(Limits(cpu_s=3600, longest_s=60))
    async with processes.running():
        endless = asyncio.create_task(processes.run(_endless))
        await eventually(lambda: any(map(_leads_its_session, multiprocessing.active_children())), "it is confined")
        os.kill(vars(forkserver)["_forkserver"]._forkserver_pid, signal.SIGKILL)
        with pytest.raises(Stopped, match="a bug"):
            await endless
        assert "secret" not in str((await processes.run(_reachable))["environment"])


def test_the_consoles_memory_is_hidden_before_it_has_passwords(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In a process of its own: it can't be undone."""
    code = (
        "import ctypes; from traksense_ingest.ops.mapping.playground.confinement import hide_memory;"
        "hide_memory(); print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"0\n"
    done: list[str] = []
    monkeypatch.setattr(run, "hide_memory", lambda: done.append("hidden"))

    def refuse(_: Path) -> None:
        done.append("users")
        raise ConfigurationError

    monkeypatch.setattr(run, "read_users", refuse)
    with pytest.raises(ConfigurationError):
        run.run_console(tmp_path / "users", lambda _: Options())
    assert done == ["hidden", "users"]


def test_a_trial_gets_no_addresses_and_no_passwords() -> None:
    settings = config.load(
        redis_url="redis://:secret@r/0",
        database_url="postgresql://u:secret@d/x",
        mqtt_password="secret",
        mqtt_url="mqtt://secret",
        ingest_mappings="khomp",
        ingest_max_future_s=7,
    )
    given = for_trials(settings)
    assert b"secret" not in pickle.dumps(given)
    assert (given.ingest_mappings, given.ingest_max_future_s) == ("khomp", 7)


async def test_no_process_outlives_the_console() -> None:
    """At SIGTERM a thread that waits for one would hold up the end."""
    processes = LimitedProcesses(Limits(cpu_s=3600, longest_s=3600))
    async with processes.running():
        assert await processes.run(sorted, [1]) == [1]
        endless = asyncio.create_task(processes.run(_endless))
        await eventually(lambda: multiprocessing.active_children() or endless.done(), "it runs")
    with pytest.raises(Stopped, match="the console ends"):
        await endless
    with pytest.raises(Stopped, match="the console ends"):
        await processes.run(_endless)
