"""Dead letters on real servers: looked at, replayed with their exact bytes and not twice, deleted, exported."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from click.testing import CliRunner

import writer.decode
from ops.cli import main
from ops.dlq.append import Streams, streams
from ops.dlq.due import Due
from ops.dlq.pace import Pace
from ops.dlq.replayer import Replayer, Tally
from ops.dlq.selection import Selection
from ops.dlq.table import table
from shared import config
from shared.stream import key_of, shard_of
from tests.integration.test_crash_points import Crash, crash_after, crash_before, drain
from tests.integration.test_redis_access import acl, add_users, as_user, refusals
from tests.support.stack import Stack, telem
from tests.support.waiting import eventually
from writer.adapters import ADAPTERS
from writer.schema import Telemetry
from writer.timestamp import parse_timestamp

TOPIC = "traksense/t/site/dev/telem"
BYTES = [b"not json", b"", b"a\0b", b"\xff\xfe binary", b"\r\n\t", bytes(range(256)), "é◀😀".encode(), b'{"a":\x00}']


async def dlq(stack: Stack, *arguments: object, **variables: object) -> subprocess.CompletedProcess[str]:
    """What a command says on 80 columns, in a pipe."""
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "ops", "dlq", *map(str, arguments)],
        env=_environment(stack, variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def _environment(stack: Stack, variables: dict[str, object]) -> dict[str, str]:
    return {"COLUMNS": "80", **stack.environment, **{name: str(value) for name, value in variables.items()}}


async def succeeds(stack: Stack, *arguments: object, **variables: object) -> str:
    done = await dlq(stack, *arguments, **variables)
    assert done.returncode == 0, done
    return done.stdout


async def dead_letter(stack: Stack, *messages: tuple[str | bytes, bytes]) -> None:
    """A writer takes the messages, all of them poison."""
    before = await stack.count("ingest_errors")
    for topic, payload in messages:
        await stack.append(topic, payload)
    await drain(stack)
    assert await stack.count("ingest_errors") == before + len(messages)


async def entries(stack: Stack, shard: int = 0) -> list[tuple[bytes, bytes]]:
    """Topic and payload of what is in a stream, in order."""
    found: Any = await stack.redis.xrange(key_of(shard))
    return [(fields[b"topic"], fields[b"payload"]) for _, fields in found]


async def unreplayed(stack: Stack) -> int:
    return int(await stack.fetchval("SELECT count(*) FROM ingest_errors WHERE replayed_at IS NULL"))


async def test_list_counts_by_reason_and_shows_the_newest_first(stack: Stack) -> None:
    await dead_letter(
        stack, (TOPIC, b"x"), ("traksense/other/s/d/telem", b"y"), ("traksense/t", b"z"), (TOPIC, b"\x1b[")
    )
    await stack.execute("UPDATE ingest_errors SET ts = now() - interval '2 days' WHERE id = 1")
    said = await succeeds(stack, "list")
    counts, _, rows = said.partition("\n\n")
    assert max(map(len, counts.splitlines())) <= 80
    assert [line.split()[:3] for line in counts.splitlines()[1:]] == [
        ["parse_error", "3", "0"],
        ["invalid_topic", "1", "0"],
        ["all", "4", "0"],
    ]
    assert [row.split("\t")[0] for row in rows.splitlines()] == ["4", "3", "2", "1"]
    assert rows.splitlines()[2].split("\t")[2:4] == ["other", "traksense/other/s/d/telem"]

    async def ids(*options: str) -> list[int]:
        return [row["id"] for row in json.loads(await succeeds(stack, "list", "--json", *options))["rows"]]

    assert await ids("--tenant", "other") == [2]
    assert await ids("--reason", "invalid_topic") == [3]
    assert await ids("--since", "1d") == [4, 3, 2]
    assert await ids("--until", "1d") == [1]
    assert await ids("--limit", "2") == [4, 3]
    assert await ids("--replayed") == []
    await stack.execute("UPDATE ingest_errors SET replayed_at = now() WHERE id IN (1, 3)")
    assert await ids("--replayed") == [3, 1]
    assert await ids("--not-replayed") == [4, 2]
    assert json.loads(await succeeds(stack, "list", "--json"))["counts"][0]["rows"] == 3


async def test_a_topic_can_not_move_the_cursor(stack: Stack) -> None:
    await dead_letter(stack, ("traksense/\x1b[2J\t/s/d/telem", b"\x1b[31m"))
    for said in (await succeeds(stack, "list"), await succeeds(stack, "show", 1)):
        assert "\x1b" not in said
        assert r"\x1b[2J\t" in said


async def test_show_points_at_the_place(stack: Stack) -> None:
    wrong = json.loads(telem(points=3)[1])
    wrong["points"][1]["v"] = "warm"
    await dead_letter(
        stack,
        (TOPIC, json.dumps(wrong).encode()),
        (TOPIC, b'{"schema": "v1",\n "ts": oops}'),
        (TOPIC, b"x" * 300 + b"\xff" + b"y" * 1000),
    )
    said = await succeeds(stack, "show", 1)
    (pointed,) = [line for line in said.splitlines() if "◀" in line]
    assert pointed.strip() == '"v": "warm"   ◀ here: points.1.v: Input should be a valid number'
    assert "00000000: 7b22 7363 6865 6d61" in said
    lines = (await succeeds(stack, "show", 2)).splitlines()
    caret = next(place for place, line in enumerate(lines) if line.endswith("^ here"))
    assert lines[caret - 1][lines[caret].index("^") :].startswith("oops")
    said = await succeeds(stack, "show", 3)
    assert "◀ byte 300" in said
    assert "bytes more: --full" in said
    full = await succeeds(stack, "show", 3, "--full")
    assert "--full" not in full
    assert len(full) > 2 * 1301
    shown = json.loads(await succeeds(stack, "show", 3, "--json"))
    assert base64.b64decode(shown["payload_base64"]) == b"x" * 300 + b"\xff" + b"y" * 1000
    absent = await dlq(stack, "show", 99)
    assert absent.returncode == 1
    assert absent.stderr == "99: there is no such dead letter; `traksense-ingest dlq list` has the ids\n"


async def test_export_has_every_byte(stack: Stack, tmp_path: Path) -> None:
    await dead_letter(stack, *((TOPIC, payload) for payload in BYTES), ("other", b"x"))
    path = tmp_path / "out.jsonl"
    await succeeds(stack, "export", "--reason", "parse_error", "--output", path)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    exact = [row["payload"].encode() if "payload" in row else base64.b64decode(row["payload_base64"]) for row in rows]
    assert exact == BYTES
    assert {row["topic"] for row in rows} == {TOPIC}
    assert list(tmp_path.glob("*.part")) == []
    assert len((await succeeds(stack, "export")).splitlines()) == len(BYTES) + 1
    refused = await dlq(stack, "export", "--output", tmp_path / "absent" / "file")
    assert (refused.returncode, len(refused.stderr.splitlines())) == (1, 1)


async def test_an_export_into_a_pipe_or_a_link_leaves_it_what_it_is(stack: Stack, tmp_path: Path) -> None:
    await dead_letter(stack, (TOPIC, b"x"))
    pipe, link, file = tmp_path / "pipe", tmp_path / "link", tmp_path / "file"
    os.mkfifo(pipe)
    link.symlink_to(file)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    await succeeds(stack, "export", "--output", pipe)
    assert pipe.is_fifo()
    assert json.loads(os.read(reader, 65_536))["payload"] == "x"
    os.close(reader)
    await succeeds(stack, "export", "--output", link)
    assert link.is_symlink()
    assert json.loads(file.read_text())["payload"] == "x"


async def test_purge_counts_asks_and_deletes_what_is_old(stack: Stack) -> None:
    await dead_letter(stack, *((TOPIC, b"%d" % number) for number in range(30)))
    await stack.execute("UPDATE ingest_errors SET ts = ts - interval '31 days' WHERE id <= 20")
    await stack.execute("UPDATE ingest_errors SET replayed_at = now() WHERE id <= 5")
    asked = await dlq(stack, "purge", "--older-than", "30d")
    assert asked.returncode == 1
    assert "20" in asked.stdout
    assert await stack.count("ingest_errors") == 30, "nobody said yes"
    assert "5 rows deleted" in await succeeds(stack, "purge", "--older-than", "30d", "--replayed", "--yes")
    assert "no dead letters" in await succeeds(stack, "purge", "--older-than", "30d", "--tenant", "other", "--yes")
    assert "15 rows deleted" in await succeeds(stack, "purge", "--older-than", "4w", "--reason", "parse_error", "--yes")
    assert [row["id"] for row in await stack.fetch("SELECT id FROM ingest_errors ORDER BY id")] == [*range(21, 31)]


async def test_a_replay_is_the_exact_bytes_once(stack: Stack) -> None:
    sent = [(TOPIC, payload) for payload in BYTES] + [("traksense/ü\\xe9\x01/s/d/telem", b"{}"), ("x" * 500, b"y")]
    sent += [(r"traksense/\x00\xff/s/d/telem", b"neither")]
    await dead_letter(stack, *sent)
    started = int(time.time() * 1000)
    assert "11 messages replayed" in await succeeds(stack, "replay", "--all")
    assert await entries(stack) == [(topic.encode(), payload) for topic, payload in sent]
    found: Any = await stack.redis.xrange(key_of(0))
    assert all(int(fields[b"received_at"]) >= started for _, fields in found)
    assert await unreplayed(stack) == 0
    assert "0 messages replayed" in await succeeds(stack, "replay", "--all")
    again = await dlq(stack, "replay", 1, 2)
    assert (again.returncode, again.stderr.count("--again does it again")) == (0, 2)
    assert await stack.backlog() == len(sent)
    assert "2 messages replayed" in await succeeds(stack, "replay", 1, 2, "--again")
    assert await stack.backlog() == len(sent) + 2


async def six_letters(stack: Stack) -> None:
    """Ids 1 to 6, of three tenants or none, three reasons, two days; two of them were replayed."""
    early = telem()[1].replace(b"2025", b"1999", 1)
    await dead_letter(
        stack,
        ("traksense/acme/s/d1/telem", b"1"),
        ("traksense/acme/s/d2/telem", b"2"),
        ("traksense/acme_/s/d3/telem", b"3"),
        ("traksense/acme/s/d4/telem", early),
        ("elsewhere", b"5"),
        ("traksense/other/s/d6/telem", b"6"),
    )
    await stack.execute("UPDATE ingest_errors SET ts = '2026-01-01T12:00:00Z' WHERE id IN (1, 6)")
    await stack.execute("UPDATE ingest_errors SET replayed_at = now() WHERE id IN (2, 6)")
    classes = [row["error_class"] for row in await stack.fetch("SELECT error_class FROM ingest_errors ORDER BY id")]
    assert classes == ["parse_error"] * 3 + ["out_of_range", "invalid_topic", "parse_error"]


SELECTORS: list[tuple[list[str], set[int]]] = [
    (["--tenant", "acme"], {1, 2, 4}),
    (["--reason", "parse_error"], {1, 2, 3, 6}),
    (["--reason", "out_of_range"], {4}),
    (["--since", "3d"], {2, 3, 4, 5}),
    (["--since", "2026-01-01T12:00:00Z", "--until", "2026-01-01T12:00:01Z"], {1, 6}),
    (["--until", "2026-01-01T12:00:00Z"], set()),
    (["--until", "3d"], {1, 6}),
    (["--tenant", "acme", "--reason", "parse_error"], {1, 2}),
    (["--tenant", "acme", "--reason", "parse_error", "--until", "3d"], {1}),
]
REPLAYED = {2, 6}


async def test_each_selector_of_a_replay_takes_some_and_leaves_the_others(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    await six_letters(stack)
    topics = {row["topic"].encode(): row["id"] for row in await stack.fetch("SELECT id, topic FROM ingest_errors")}

    async def replayed(*options: str) -> set[int]:
        """Which are in the stream then, and marked; and no others. All is as before then."""
        dry = json.loads((await in_process(stack, monkeypatch, "replay", "--dry-run", "--json", *options)).stdout)
        told = json.loads((await in_process(stack, monkeypatch, "replay", "--json", *options)).stdout)
        ids = [topics[topic] for topic, _ in await entries(stack)]
        marked = await stack.fetch("SELECT id FROM ingest_errors WHERE replayed_at > '2026-01-02'")
        assert {row["id"] for row in marked} - REPLAYED == {*ids} - REPLAYED
        assert (told["replayed"], [row["id"] for row in dry["rows"]]) == (len(ids), sorted(ids))
        await stack.redis.delete(key_of(0))
        await stack.execute("UPDATE ingest_errors SET replayed_at = NULL WHERE id NOT IN (2, 6)")
        return {*ids}

    for options, chosen in SELECTORS:
        assert await replayed(*options) == chosen - REPLAYED, options
    assert await replayed("--all") == {1, 3, 4, 5}
    assert await replayed("--tenant", "acme", "--again") == {1, 2, 4}
    assert await replayed("--all", "--again", "--from-id", "5") == {5, 6}
    assert await replayed("1", "3", "--tenant", "acme") == {1}


async def test_each_selector_of_an_export_takes_some_and_leaves_the_others(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    await six_letters(stack)

    async def exported(*options: str) -> list[int]:
        lines = (await in_process(stack, monkeypatch, "export", *options)).stdout.splitlines()
        return [json.loads(line)["id"] for line in lines]

    for options, chosen in SELECTORS:
        assert await exported(*options) == sorted(chosen), options
    assert await exported("--replayed") == [2, 6]
    assert await exported("--not-replayed") == [1, 3, 4, 5]
    assert await exported("--not-replayed", "--tenant", "acme") == [1, 4]


async def test_each_goes_to_the_shard_of_its_device(stack: Stack) -> None:
    topics = [f"traksense/t/s/dev{number}/telem" for number in range(40)]
    await dead_letter(stack, *((topic, b"x") for topic in topics))
    await succeeds(stack, "replay", "--all", INGEST_SHARDS=3)
    for shard in range(3):
        there = [topic.decode() for topic, _ in await entries(stack, shard)]
        assert there == [topic for topic in topics if shard_of(topic.encode(), 3) == shard]


async def test_a_topic_of_unknown_bytes_is_said_and_skipped(stack: Stack) -> None:
    await dead_letter(stack, (b"traksense/\xff/s/d/telem", b"x"), (TOPIC, b"y"), (rb"traksense/\x00/s/d/x", b"z"))
    await stack.redis.xadd(key_of(0), {"topic": TOPIC})
    await drain(stack)
    done = await dlq(stack, "replay", "--all")
    assert (done.returncode, done.stdout) == (0, "1 message replayed, 3 can't be\n")
    assert [line.split(":")[:2] for line in done.stderr.splitlines() if "not replayed" in line] == [
        ["1", " not replayed"],
        ["3", " not replayed"],
        ["4", " not replayed"],
    ]
    assert await entries(stack) == [(TOPIC.encode(), b"y")]
    assert (await dlq(stack, "replay", 1)).returncode == 1
    missing = await dlq(stack, "replay", 99)
    assert (missing.returncode, "99: there is no such" in missing.stderr) == (1, True)


async def test_what_is_rejected_again_is_a_new_dead_letter_and_the_replay_ends(stack: Stack) -> None:
    await dead_letter(stack, *((TOPIC, b"%d" % number) for number in range(300)))
    process = await stack.writer()
    await succeeds(stack, "replay", "--all", "--rate", 2000)
    await stack.has_rows("ingest_errors", 600)
    assert await unreplayed(stack) == 300
    assert process.stop() == 0


async def replay_here(stack: Stack, tally: Tally) -> None:
    settings = config.load(database_url=stack.database_url, redis_url=stack.redis_server.url)
    async with table(stack.database_url) as connection, streams(settings) as targets:
        due, pace = await Due.since_now(connection, Selection(), again=False), Pace(5000, targets.room)
        await Replayer(connection, due, targets, pace, asyncio.Event(), print, tally).run(None, None)


async def test_two_replays_at_once_share_the_rows(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each appends its first batch only when the other one has taken its own."""
    sent = [(TOPIC, b"%d" % number) for number in range(450)]
    await dead_letter(stack, *sent)
    append, both_have_taken = Streams.append, asyncio.Event()
    arrived: list[Streams] = []

    async def meeting(self: Streams, letters: Any) -> Any:
        arrived.append(self)
        if len(arrived) == 2:
            both_have_taken.set()
        await both_have_taken.wait()
        return await append(self, letters)

    monkeypatch.setattr(Streams, "append", meeting)
    tallies = Tally(), Tally()
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        for tally in tallies:
            tasks.create_task(replay_here(stack, tally))
    assert all(tally.replayed for tally in tallies)
    assert sum(tally.replayed for tally in tallies) == len(sent)
    assert Counter(await entries(stack)) == Counter((topic.encode(), payload) for topic, payload in sent)
    assert await unreplayed(stack) == 0


async def test_three_commands_at_once(stack: Stack) -> None:
    sent = [(TOPIC, b"%d" % number) for number in range(600)]
    await dead_letter(stack, *sent)
    done = await asyncio.gather(*(dlq(stack, "replay", "--all", "--json", "--rate", 300) for _ in range(3)))
    assert sum(json.loads(one.stdout)["replayed"] for one in done) == len(sent)
    assert Counter(await entries(stack)) == Counter((topic.encode(), payload) for topic, payload in sent)
    assert await unreplayed(stack) == 0


async def test_what_another_replay_has_in_hand_is_passed_over(stack: Stack) -> None:
    await dead_letter(stack, *((TOPIC, b"%d" % number) for number in range(5)))
    async with table_of(stack) as connection, connection.transaction():
        await connection.execute("SELECT FROM ingest_errors WHERE id <= 2 FOR UPDATE")
        done = await dlq(stack, "replay", "--all")
        assert (done.returncode, "3 messages replayed, 2 left" in done.stdout) == (1, True)
    assert [payload for _, payload in await entries(stack)] == [b"2", b"3", b"4"]


@asynccontextmanager
async def table_of(stack: Stack) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(stack.database_url)
    try:
        yield connection
    finally:
        await connection.close()


async def in_process(stack: Stack, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Any:
    for name, value in stack.environment.items():
        monkeypatch.setenv(name, value)
    return await asyncio.to_thread(CliRunner().invoke, main, ["dlq", *arguments])


async def test_a_crash_between_append_and_mark_replays_a_batch_twice_and_changes_nothing(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    await with_vendor_letters(stack, 250)
    with monkeypatch.context() as patch:
        patch.setattr(Due, "mark", crash_before(Due.mark))
        with pytest.raises(Crash):
            await in_process(stack, patch, "replay", "--all")
    assert (await stack.backlog(), await unreplayed(stack)) == (100, 250)
    with monkeypatch.context() as patch:
        patch.setattr(Due, "mark", crash_after(Due.mark))
        with pytest.raises(Crash):
            await in_process(stack, patch, "replay", "--all")
    assert (await stack.backlog(), await unreplayed(stack)) == (200, 250)
    with monkeypatch.context() as patch:
        patch.setattr(Streams, "append", crash_before(Streams.append))
        with pytest.raises(Crash):
            await in_process(stack, patch, "replay", "--all")
    assert (await stack.backlog(), await unreplayed(stack)) == (200, 250)
    await succeeds(stack, "replay", "--all", "--rate", 5000)
    monkeypatch.setattr(writer.decode, "ADAPTERS", (Vendor(),))
    await drain(stack)
    assert (await stack.count("ts_measure"), await stack.count("ingest_errors")) == (250, 250)


class Vendor:
    """An adapter that did not exist when the messages came."""

    def recognises(self, message: dict[str, Any]) -> bool:
        return "celsius" in message

    def adapt(self, message: dict[str, Any]) -> Telemetry:
        return {"ts": parse_timestamp(message["at"]), "points": [{"name": "temp", "t": "num", "v": message["celsius"]}]}


async def with_vendor_letters(stack: Stack, number: int) -> None:
    for_each = ({"celsius": n, "at": f"2025-10-07T15:{n // 60:02}:{n % 60:02}Z"} for n in range(number))
    await dead_letter(stack, *((TOPIC, json.dumps(message).encode()) for message in for_each))


async def test_once_an_adapter_knows_the_format_a_replay_gives_rows(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    await with_vendor_letters(stack, 20)
    await dead_letter(stack, (TOPIC, b"hopeless"))
    await dead_letter(stack, ("elsewhere", b"of another class"))
    said = await succeeds(stack, "replay", "--all", "--dry-run")
    assert "no vendor format recognises" in said
    assert said.splitlines()[-1] == "dry run, nothing was changed: 22 rejected again"
    monkeypatch.setattr(writer.decode, "ADAPTERS", (*ADAPTERS, Vendor()))
    dry = (await in_process(stack, monkeypatch, "replay", "--all", "--dry-run")).stdout
    assert "1: would be stored: 1 row of ts_measure\n" in dry
    assert dry.splitlines()[-1] == "dry run, nothing was changed: 20 would be stored, 2 rejected again"
    assert (await stack.backlog(), await unreplayed(stack)) == (0, 22), "a dry run changes nothing"
    await succeeds(stack, "replay", "--reason", "parse_error")
    await drain(stack)
    assert await stack.count("ts_measure") == 20
    left = await stack.fetch("SELECT payload FROM ingest_errors WHERE replayed_at IS NULL ORDER BY id")
    assert [row["payload"] for row in left] == ["of another class", "hopeless"]


class Replay:
    """A replay as a process of its own."""

    def __init__(self, stack: Stack, log: Path, *arguments: str, **variables: object) -> None:
        self._log = log
        command = [sys.executable, "-m", "ops", "dlq", "replay", *arguments]
        with log.open("wb") as out:
            self.popen = subprocess.Popen(command, env=_environment(stack, variables), stdout=out, stderr=out)

    @property
    def log(self) -> str:
        return self._log.read_text()

    async def ends(self) -> int:
        return await asyncio.to_thread(self.popen.wait, 60)


async def never_above(stack: Stack, entries_: int) -> None:
    while True:
        assert await stack.backlog() <= entries_
        await asyncio.sleep(0)


async def is_left(stack: Stack, rows: int) -> bool:
    return await unreplayed(stack) == rows


async def holds(stack: Stack, entries_: int) -> bool:
    return await stack.backlog() >= entries_


class Terminal:
    """A command at a terminal of 60 columns."""

    def __init__(self, stack: Stack, *arguments: str) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "ops", "dlq", *arguments],
            env={**stack.environment, "TERM": "xterm", "PYTHONPATH": ":".join(sys.path)},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        os.set_blocking(self._ours, False)
        self._seen = bytearray()

    @property
    def seen(self) -> str:
        """All that was written so far, without colours."""
        with contextlib.suppress(BlockingIOError, OSError):
            self._seen.extend(os.read(self._ours, 65_536))
        return re.sub(r"\x1b\[[0-9;]*m", "", self._seen.decode(errors="replace"))

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    async def ends(self) -> int:
        await eventually(lambda: bool(self.seen) and self.popen.poll() is not None)
        code = self.popen.wait()
        assert "Traceback" not in self.seen
        return code

    def close(self) -> None:
        self.popen.kill()
        self.popen.wait()
        os.close(self._ours)


@pytest.fixture
def at_terminal(stack: Stack) -> Iterator[Callable[..., Terminal]]:
    with contextlib.ExitStack() as lifetimes:

        def start(*arguments: str) -> Terminal:
            return lifetimes.enter_context(contextlib.closing(Terminal(stack, *arguments)))

        yield start


async def test_a_replay_at_a_terminal_draws_a_bar(stack: Stack, at_terminal: Callable[..., Terminal]) -> None:
    await dead_letter(stack, *((TOPIC, b"%d" % number) for number in range(60)), (b"traksense/\xff/s/d/telem", b"x"))
    terminal = at_terminal("replay", "--all", "--rate", "100")
    assert await terminal.ends() == 0
    lines = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.seen).replace("\r", "\n").split("\n")
    lines = [line for line in lines if line]
    bars = [line for line in lines if line.startswith("replaying ")]
    assert max(map(len, bars)) <= 60
    assert len({*bars}) > 2, "it moves"
    assert re.search(r"━━━ 61/61 [-:0-9]+$", bars[-1]), bars[-1]
    assert any(line.startswith("61: not replayed: ") for line in lines)
    assert lines[-1] == "60 messages replayed, 1 can't be"
    assert "\x1b[?25h" in terminal.seen, "the cursor is shown again"


async def test_a_replay_in_a_pipe_says_how_far_it_is(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    await dead_letter(stack, *((TOPIC, b"%d" % number) for number in range(60)))
    monkeypatch.setattr("ops.dlq.progress.LINE_EVERY_S", 0.01)
    done = await in_process(stack, monkeypatch, "replay", "--all", "--rate", "300")
    assert done.exit_code == 0
    assert re.search(r"^\d+ of 60 done$", done.stderr, re.MULTILINE), done.stderr
    assert done.stdout == "60 messages replayed\n"


@pytest.mark.parametrize(("answer", "left", "told"), [("y", 0, "2 rows deleted"), ("n", 2, "nothing was deleted")])
async def test_a_purge_at_a_terminal_asks_and_does_what_is_answered(
    stack: Stack, at_terminal: Callable[..., Terminal], answer: str, left: int, told: str
) -> None:
    await dead_letter(stack, (TOPIC, b"x"), (TOPIC, b"y"))
    terminal = at_terminal("purge", "--older-than", "0s")
    await eventually(lambda: "Delete 2 rows? [y/N]: " in terminal.seen)
    assert await stack.count("ingest_errors") == 2, "not before it is answered"
    terminal.type(f"{answer}\n")
    assert await terminal.ends() == (0 if answer == "y" else 1)
    assert terminal.seen.splitlines()[-1] == told
    assert await stack.count("ingest_errors") == left


async def test_a_replay_leaves_half_of_the_stream_to_the_devices(stack: Stack, tmp_path: Path) -> None:
    await dead_letter(stack, *((TOPIC, b"%d" % number) for number in range(60)))
    for second in range(5):
        await stack.append(*telem(second=second))
    watching = asyncio.create_task(never_above(stack, 20))
    replay = Replay(stack, tmp_path / "log", "--all", INGEST_QUEUE_MAX=41)
    await eventually(lambda: "waiting for the writers" in replay.log)
    assert (await stack.backlog(), await unreplayed(stack)) == (20, 45)
    oldest: Any = await stack.redis.xrange(key_of(0), count=3)
    for taken, (id_, _) in enumerate(oldest, start=1):
        await stack.redis.xdel(key_of(0), id_)
        await eventually(lambda taken=taken: is_left(stack, 45 - taken))  # type: ignore[misc]
    assert await stack.backlog() == 20
    writer_ = await stack.writer()
    assert await replay.ends() == 0
    await stack.has_rows("ingest_errors", 120)
    assert not watching.done(), watching.exception()
    watching.cancel()
    assert replay.log.count("waiting for the writers") == 1
    assert "ingest:{0} holds 20 entries" in replay.log
    assert writer_.stop() == 0


async def test_ctrl_c_ends_a_replay_that_waits_for_room(stack: Stack, tmp_path: Path) -> None:
    await dead_letter(stack, *((TOPIC, b"%d" % number) for number in range(5)))
    replay = Replay(stack, tmp_path / "log", "--all", INGEST_QUEUE_MAX=4)
    await eventually(lambda: "waiting for the writers" in replay.log)
    replay.popen.send_signal(signal.SIGTERM)
    assert await replay.ends() == 1
    assert "2 messages replayed, 3 left" in replay.log
    assert "Traceback" not in replay.log


async def test_ctrl_c_ends_it_after_the_batch_and_says_how_to_go_on(stack: Stack, tmp_path: Path) -> None:
    await dead_letter(stack, *((TOPIC, b"%d" % number) for number in range(60)))
    replay = Replay(stack, tmp_path / "log", "--all", "--rate", "20")
    await eventually(lambda: holds(stack, 8))
    replay.popen.send_signal(signal.SIGINT)
    assert await replay.ends() == 1
    there = await stack.backlog()
    assert there < 60
    assert f"{there} messages replayed, {60 - there} left: the same command goes on with them" in replay.log
    assert "Traceback" not in replay.log
    assert await unreplayed(stack) == 60 - there
    assert f"{60 - there} messages replayed" in await succeeds(stack, "replay", "--all")
    assert [payload for _, payload in await entries(stack)] == [b"%d" % number for number in range(60)]


async def test_redis_goes_in_the_middle_and_what_is_marked_was_in_it(stack: Stack, tmp_path: Path) -> None:
    await dead_letter(stack, *((TOPIC, b"%d" % number) for number in range(60)))
    replay = Replay(stack, tmp_path / "log", "--all", "--rate", "20")
    await eventually(lambda: holds(stack, 8))
    stack.redis_server.stop()
    assert await replay.ends() == 1
    failed, told = replay.log.splitlines()[-2:]
    assert failed.startswith("REDIS_URL=redis://127.0.0.1:")
    assert told.endswith("messages replayed, some left: the same command goes on with them")
    replayed = int(told.partition(" ")[0])
    assert (await unreplayed(stack), replayed >= 4) == (60 - replayed, True)


async def test_no_faster_than_the_rate(stack: Stack) -> None:
    await dead_letter(stack, *((TOPIC, b"%d" % number) for number in range(50)))
    await succeeds(stack, "replay", "--all", "--rate", 50)
    found: Any = await stack.redis.xrange(key_of(0))
    first, *_, last = (int(id_.partition(b"-")[0]) for id_, _ in found)
    assert last - first >= 790, "batches of 10, 200 ms apart"


async def test_a_limit_and_again_from_an_id_on(stack: Stack) -> None:
    await dead_letter(stack, *((TOPIC, b"%d" % number) for number in range(5)))
    assert "2 messages replayed, 3 left" in await succeeds(stack, "replay", "--all", "--limit", 2)
    said = await succeeds(stack, "replay", "--all", "--again", "--limit", 3)
    assert "the same command with --from-id 4" in said
    await succeeds(stack, "replay", "--all", "--again", "--from-id", 4)
    assert [payload for _, payload in await entries(stack)] == [b"0", b"1", b"0", b"1", b"2", b"3", b"4"]


async def test_large_payloads_go_a_few_at_a_time(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = [(TOPIC, b"%d" % number * 1_000_000) for number in range(6)]
    await dead_letter(stack, *sent)
    monkeypatch.setattr("ops.dlq.due.BATCH_BYTES", 2_500_000)
    sizes: list[int] = []
    append = Streams.append

    async def counting(self: Streams, letters: Any) -> Any:
        sizes.append(len(letters))
        return await append(self, letters)

    monkeypatch.setattr(Streams, "append", counting)
    assert (await in_process(stack, monkeypatch, "replay", "--all")).exit_code == 0
    assert sizes == [2, 2, 2, 0]
    assert [payload for _, payload in await entries(stack)] == [payload for _, payload in sent]


async def test_a_receivers_redis_user_is_enough(stack: Stack) -> None:
    await dead_letter(stack, (TOPIC, b"x"))
    await add_users(stack.redis)
    await succeeds(stack, "replay", "--all", REDIS_URL=as_user(stack, "receiver"))
    assert await refusals(stack.redis) == []
    await acl(stack.redis, "receiver", "-xadd")
    refused = await dlq(stack, "replay", "--all", "--again", REDIS_URL=as_user(stack, "receiver"))
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
    assert refused.stderr.startswith("REDIS_URL=redis://receiver:***@")
    assert "XADD" in refused.stderr


async def test_what_is_wrong_is_one_line(stack: Stack) -> None:
    await dead_letter(stack, (TOPIC, b"x"))
    await stack.execute("ALTER ROLE traksense_writer LOGIN PASSWORD 'secret'")
    as_writer = f"postgresql://traksense_writer:secret@{stack.database_url.partition('@')[2]}"
    assert (await dlq(stack, "list", DATABASE_URL=as_writer)).returncode == 0
    refused = await dlq(stack, "replay", "--all", DATABASE_URL=as_writer)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
    assert "connect as the tables' owner" in refused.stderr
    assert "secret" not in refused.stderr
    assert await stack.backlog() == 0
    await stack.execute("CREATE ROLE dlq_viewer LOGIN PASSWORD 'secret'")
    await stack.execute("GRANT SELECT ON ingest_errors TO dlq_viewer")
    unseeing = await dlq(stack, "list", DATABASE_URL=as_writer.replace("traksense_writer", "dlq_viewer"))
    assert (unseeing.returncode, len(unseeing.stderr.splitlines())) == (2, 1)
    assert "the role dlq_viewer is under row level security" in unseeing.stderr
    away = stack.database_url.rpartition("/")[0] + "/nowhere"
    for command in (["list"], ["show", 1], ["replay", "--all"], ["purge", "--older-than", "1d"], ["export"]):
        done = await dlq(stack, *command, DATABASE_URL=away)
        assert (done.returncode, len(done.stderr.splitlines()), done.stdout) == (2, 1, ""), done
        assert done.stderr.startswith("DATABASE_URL=")
    stack.redis_server.stop()
    done = await dlq(stack, "replay", "--all")
    assert (done.returncode, len(done.stderr.splitlines()), done.stdout) == (1, 1, "")
    assert done.stderr.startswith("REDIS_URL=redis://127.0.0.1:")
    assert await unreplayed(stack) == 1
