"""`status` on real servers: each part down, silent or unwilling, a full stream, who is there, and looks without end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiomqtt import MqttError

from ops.status.broker import greet
from ops.status.look import Looker
from ops.status.part import State
from shared import config
from shared.presence import KEY
from shared.stream import key_of
from tests.support.process import Process
from tests.support.stack import Stack, telem
from tests.support.waiting import eventually

PATIENT = "--timeout", "30"  # for a machine that does other things too, where nothing is silent
PARTS = ("broker", "redis", "database")
VARIABLES = {"broker": "MQTT_URL", "redis": "REDIS_URL", "database": "DATABASE_URL"}


async def report_of(stack: Stack, *options: str, **variables: object) -> tuple[int, dict[str, Any]]:
    """The exit code and the JSON."""
    done = await stack.status("--json", *options, **variables)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def states_of(report: dict[str, Any]) -> dict[str, str]:
    return {name: part["state"] for name, part in report["parts"].items()}


async def test_all_is_well(stack: Stack) -> None:
    receiver, writer = await stack.receiver(MQTT_CLIENT_ID="edge-0"), await stack.writer()
    await stack.publish(*(telem(second=second) for second in range(20)), ("traksense/t/s/dev/telem", b"poison"))
    await stack.has_rows("ts_measure", 20)
    await eventually(lambda: appended(stack, "edge-0", 21))
    checked = await stack.status(*PATIENT)
    assert (checked.returncode, checked.stderr) == (0, ""), checked.stdout
    lines = checked.stdout.splitlines()
    assert [line.split()[:2] for line in lines[:3]] == [[part, "up"] for part in PARTS]
    assert "ingest:{0}: 21 added = 20 stored + 1 dead-lettered + 0 here (0 duplicates)" in lines
    assert max(map(len, lines)) <= 80
    code, report = await report_of(stack, *PATIENT)
    assert (code, report["ok"], report["agrees"]) == (0, True, True)
    (shown,) = report["receivers"]
    assert (shown["client_id"], shown["broker"], shown["waiting"], shown["appended"]) == ("edge-0", True, False, 21)
    assert len(report["shards"][0]["consumers"]) == 2
    assert "away" not in receiver.log + writer.log


async def appended(stack: Stack, client_id: str, count: int) -> bool:
    return (await told_by(stack, client_id)).get("appended") == count


async def told_by(stack: Stack, client_id: str) -> dict[str, Any]:
    """What a receiver says of itself; nothing, of one that isn't there."""
    value = await stack.redis.hget(KEY, client_id)
    return dict(json.loads(value or "{}"))


compact = json.JSONEncoder(separators=(",", ":")).encode


async def test_receivers_come_leave_and_fall_silent(stack: Stack) -> None:
    leaving, dying = await stack.receiver(MQTT_CLIENT_ID="leaving"), await stack.receiver(MQTT_CLIENT_ID="dying")
    await eventually(lambda: has_receivers(stack, 2))
    assert leaving.stop() == 0
    await eventually(lambda: has_receivers(stack, 1))
    dying.kill()
    seconds, _ = await stack.redis.time()
    about = await told_by(stack, "dying")
    for age, client_id in ((3600, "dying"), (90_000, "of yesterday")):
        await stack.redis.hset(KEY, client_id, compact({**about, "at": (seconds - age) * 1000}))
    await stack.redis.hset(KEY, "other hands", "1")
    checked = await stack.status(*PATIENT)
    assert re.search(r"^dying +\? +\? +60 min ago +silent$", checked.stdout, re.MULTILINE), checked.stdout
    assert "other hands" not in checked.stdout
    await stack.receiver(MQTT_CLIENT_ID="another")
    await eventually(lambda: has_receivers(stack, 2))
    assert {*await stack.redis.hkeys(KEY)} == {b"dying", b"another"}


async def has_receivers(stack: Stack, count: int) -> bool:
    return bool(await stack.redis.hlen(KEY) == count)


async def test_a_key_of_another_type_in_the_receivers_place(stack: Stack) -> None:
    await stack.redis.set(KEY, "by hand")
    receiver = await stack.receiver()
    await receiver.says("can't see this receiver: ingest:{receivers}: ")
    checked = await stack.status(*PATIENT)
    assert (checked.returncode, "receivers: not to be seen" in checked.stdout) == (0, True), checked.stdout
    assert receiver.get("/readyz")[0] == 200
    await stack.redis.delete(KEY)
    await eventually(lambda: has_receivers(stack, 1))
    assert "Traceback" not in receiver.log


async def stop_broker(stack: Stack) -> None:
    stack.broker.stop()


async def stop_redis(stack: Stack) -> None:
    stack.redis_server.stop()


async def refuse_connections(stack: Stack) -> None:
    await stack.refuse_connections()


STOP = {"broker": stop_broker, "redis": stop_redis, "database": refuse_connections}


@pytest.mark.parametrize("part", PARTS)
async def test_a_part_that_is_away_is_a_line_and_the_rest_is_shown(stack: Stack, part: str) -> None:
    await stack.append(*telem())
    stop: Callable[[Stack], Awaitable[None]] = STOP[part]
    await stop(stack)
    checked = await stack.status(*PATIENT)
    assert (checked.returncode, checked.stderr) == (1, "")
    lines = dict(zip(PARTS, checked.stdout.splitlines()[:3], strict=True))
    states = {name: line.split()[1] for name, line in lines.items()}
    expected = dict.fromkeys(PARTS, "up") | {part: "away"}
    assert states == expected, checked.stdout
    assert ("1 added = " in checked.stdout) is (part != "redis")
    code, report = await report_of(stack, *PATIENT)
    assert (code, report["ok"], states_of(report)) == (1, False, expected)
    assert (report["agrees"], len(report["shards"])) == ((None, 0) if part == "redis" else (True, 1))
    if part == "database":
        await stack.allow_connections()


async def test_each_line_says_what_to_do_next(stack: Stack) -> None:
    nowhere = {VARIABLES[part]: url_of(part, 1) for part in PARTS}
    checked = await stack.status(*PATIENT, **nowhere)
    lines = checked.stdout.splitlines()
    assert (checked.returncode, checked.stderr, lines[3]) == (1, "", "")
    for part, line in zip(PARTS, lines, strict=False):
        assert re.match(rf"{part} +away +\S+://\S+: .*; start it, or mend {VARIABLES[part]}$", line)
    assert "secret" not in checked.stdout


class Silent:
    """A server that takes connections and says nothing, or one thing; remembers the first bytes of each."""

    def __init__(self, answer: bytes = b"") -> None:
        self.heard: list[bytes] = []
        self.closed = 0  # connections that the client has closed
        self._answer = answer
        self._connections: list[asyncio.StreamWriter] = []

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        """Its port."""
        server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for connection in self._connections:
                connection.close()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.append(writer)
        self.heard.append(await reader.read(1000))
        writer.write(self._answer)
        await reader.read()
        self.closed += 1


def url_of(part: str, port: int) -> str:
    """Where a part would be, with a password that nobody should see."""
    schemes = {"broker": "mqtt://u:secret@{}", "redis": "redis://{}/0", "database": "postgresql://u:secret@{}/x"}
    return schemes[part].format(f"127.0.0.1:{port}")


@pytest.mark.parametrize("part", PARTS)
async def test_a_part_that_says_nothing_is_away(stack: Stack, part: str) -> None:
    async with Silent().listening() as port:
        code, report = await report_of(stack, "--timeout", "5", **{VARIABLES[part]: url_of(part, port)})
    assert report["parts"][part]["error"] == "no answer within 5 s; --timeout gives it longer"
    assert states_of(report) == dict.fromkeys(PARTS, "up") | {part: "away"}
    assert (code, bool(report["shards"])) == (1, part != "redis")


async def test_with_nothing_but_its_defaults_each_silent_part_is_told() -> None:
    servers = [Silent() for _ in PARTS]
    async with contextlib.AsyncExitStack() as lifetimes:
        ports = [await lifetimes.enter_async_context(server.listening()) for server in servers]
        urls = {VARIABLES[part]: url_of(part, port) for part, port in zip(PARTS, ports, strict=True)}
        command = [sys.executable, "-m", "ops", "status"]
        done = await asyncio.to_thread(subprocess.run, command, env=urls, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr, lines[3]) == (1, "", "")
    for part, line in zip(PARTS, lines, strict=False):
        assert re.match(rf"{part} +away .*: no answer within 0\.5 s; --timeout gives it longer$", line)
    assert all(server.heard for server in servers)


async def test_all_parts_are_asked_at_once() -> None:
    """Each of three that say nothing has been asked before any of them is given up."""
    servers = [Silent() for _ in PARTS]
    async with contextlib.AsyncExitStack() as lifetimes:
        ports = [await lifetimes.enter_async_context(server.listening()) for server in servers]
        urls = {VARIABLES[part].lower(): url_of(part, port) for part, port in zip(PARTS, ports, strict=True)}
        looker = await lifetimes.enter_async_context(Looker(config.load(**urls), 600))
        looking = asyncio.create_task(looker.look(0))
        await eventually(lambda: all(server.heard for server in servers))
        assert not looking.done()
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


async def test_the_broker_is_greeted_without_touching_a_receivers_session(stack: Stack) -> None:
    server = Silent()
    async with server.listening() as port:
        await report_of(stack, "--timeout", "2", MQTT_URL=url_of("broker", port), MQTT_CLIENT_ID="receiver-0")
    (connect,) = server.heard
    assert connect[0] == 0x10
    assert connect[9] & 0x02, "clean session"
    assert b"status-" in connect
    assert b"receiver-0" not in connect


async def test_a_broker_that_says_nothing_is_hung_up_on() -> None:
    """Else `--watch` would gather connections; and a receiver, too."""
    server = Silent()
    async with server.listening() as port:
        with pytest.raises(MqttError):
            await greet(config.load(mqtt_url=url_of("broker", port)), 0.2)
        await eventually(lambda: server.closed == 1)


async def test_a_broker_that_refuses_us_is_a_mistake_to_mend(stack: Stack) -> None:
    async with Silent(b"\x20\x02\x00\x05").listening() as port:
        checked = await stack.status(*PATIENT, MQTT_URL=url_of("broker", port))
    line = checked.stdout.splitlines()[0]
    assert (checked.returncode, line.split()[1]) == (2, "refused")
    assert re.search(r"Not authori[sz]ed.*; mend MQTT_URL$", line)
    assert "secret" not in checked.stdout


async def test_what_is_skipped_is_not_asked(stack: Stack) -> None:
    nowhere = {"MQTT_URL": "mqtt://127.0.0.1:1", "DATABASE_URL": "postgresql://127.0.0.1:1/x"}
    code, report = await report_of(stack, *PATIENT, "--skip", "broker", "--skip", "database", **nowhere)
    assert (code, report["shards"][0]["lost"]) == (0, None)
    assert states_of(report) == {"broker": "skipped", "redis": "up", "database": "skipped"}


async def test_a_full_stream_and_who_waits_for_room(stack: Stack) -> None:
    await stack.receiver(INGEST_QUEUE_MAX=5)
    publishing = asyncio.create_task(stack.publish(*(telem(second=second) for second in range(20))))
    await eventually(lambda: waits(stack))
    checked = await stack.status(*PATIENT, INGEST_QUEUE_MAX=5)
    assert re.search(r"^traksense-receiver .* waits for room$", checked.stdout, re.MULTILINE), checked.stdout
    assert re.search(r"^ingest:\{0\} +5 +100% .* full$", checked.stdout, re.MULTILINE), checked.stdout
    assert checked.returncode == 0  # nothing is lost
    await stack.writer()
    await publishing
    await stack.has_rows("ts_measure", 20)


async def waits(stack: Stack) -> bool:
    return bool((await told_by(stack, "traksense-receiver")).get("waiting"))


async def test_rates_are_those_of_the_sample(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, url in stack.environment.items():
        monkeypatch.setenv(name, url)
    async with Looker(config.load(), 30) as looker:
        first = await looker.look(0)
        for second in range(40):
            await stack.append(*telem(second=second))
        second_ = await looker.look(0)
    (shard,) = second_.shards
    assert [part.state for part in first.parts] == [State.UP] * 3
    assert second_.rate(shard, "added") == pytest.approx(40 / second_.seconds)
    assert second_.forecast(shard).trend in ("filling", "keeping_up")


class Watching:
    """`status --watch`, in a pipe or at a terminal."""

    def __init__(self, stack: Stack, directory: Path, *options: str, stdout: int | None = None) -> None:
        self._output = directory / "watched"
        with self._output.open("wb") as file:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "ops", "status", "--watch", "0.1", *PATIENT, *options],
                env={**stack.environment, "TERM": "xterm", "PYTHONPATH": ":".join(sys.path)},
                stdout=file if stdout is None else stdout,
                stderr=subprocess.STDOUT,
            )

    @property
    def said(self) -> str:
        return self._output.read_text()

    def stop(self, signum: int = signal.SIGINT) -> int:
        self.popen.send_signal(signum)
        return self.popen.wait(30)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
async def test_watching_in_a_pipe_is_one_block_after_the_other(stack: Stack, tmp_path: Path, signum: int) -> None:
    watching = Watching(stack, tmp_path)
    await eventually(lambda: watching.said.count("\n\n20") >= 2 or watching.popen.poll() is not None)
    assert watching.stop(signum) == 0, watching.said
    assert "\x1b" not in watching.said
    assert "Traceback" not in watching.said
    blocks = re.split(r"^[0-9-]{10} [0-9:]{8} UTC\n", watching.said, flags=re.MULTILINE)[1:]
    assert len(blocks) >= 3
    assert all(block.startswith("broker    up") for block in blocks)


async def test_watching_as_json_is_one_object_a_line_also_while_redis_comes_and_goes(
    stack: Stack, tmp_path: Path
) -> None:
    watching = Watching(stack, tmp_path, "--json")

    def states() -> list[str]:
        return [json.loads(line)["parts"]["redis"]["state"] for line in watching.said.splitlines(keepends=True)[:-1]]

    await eventually(lambda: states()[-1:] == ["up"])
    stack.redis_server.kill()
    await eventually(lambda: states()[-1:] == ["away"])
    stack.redis_server.start()
    await eventually(lambda: states()[-1:] == ["up"])
    await stack.append(*telem())
    await eventually(lambda: json.loads(watching.said.splitlines()[-2])["shards"][0]["in_stream"] == 1)
    stack.redis_server.kill()
    await eventually(lambda: states()[-1:] == ["away"])
    assert watching.stop() == 0


async def test_watching_at_a_terminal_draws_over_itself_until_ctrl_c(stack: Stack, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    watching = Watching(stack, tmp_path, stdout=theirs)
    os.close(theirs)
    os.set_blocking(ours, False)
    screen = bytearray()

    def drawn(times: int) -> bool:
        with contextlib.suppress(BlockingIOError, OSError):
            screen.extend(os.read(ours, 65_536))
        return screen.count(b"ingest:{0}: 0 added") >= times

    await eventually(lambda: drawn(3), screen.decode)
    watching.popen.send_signal(signal.SIGINT)
    await eventually(lambda: drawn(0) and watching.popen.poll() is not None)
    assert watching.popen.returncode == 0
    assert b"\x1b[1A" in screen, "the cursor moves up to draw over"
    assert b"\x1b[?25h" in screen, "the cursor is shown again"
    assert b"Traceback" not in screen
    os.close(ours)


async def test_a_backlog_is_remembered_by_whoever_watches(stack: Stack, tmp_path: Path) -> None:
    await stack.append(*telem())
    watching = Watching(stack, tmp_path, "--json")
    await eventually(lambda: is_remembered(stack))
    assert watching.stop() == 0


async def is_remembered(stack: Stack) -> bool:
    rows = await stack.fetch("SELECT in_stream FROM stream_ledger WHERE stream = $1", key_of(0))
    return [row["in_stream"] for row in rows] == [1]


async def test_a_wrong_variable_is_one_line(stack: Stack) -> None:
    checked = await stack.status(INGEST_SHARDS="many")
    assert (checked.returncode, checked.stdout, checked.stderr.count("\n")) == (2, "", 1)
    assert "INGEST_SHARDS='many' is not allowed; allowed: how many streams, 1 to 1024" in checked.stderr


async def test_a_receiver_stops_though_redis_is_away(stack: Stack) -> None:
    receiver: Process = await stack.receiver()
    stack.redis_server.kill()
    await receiver.says("redis is away")
    assert receiver.stop() == 0
    assert "can't see this receiver" not in receiver.log
