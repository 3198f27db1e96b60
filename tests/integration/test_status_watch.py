"""`status --watch`: in a pipe, as JSON, and at a terminal."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
from pathlib import Path

import pytest

from tests.support.program import Program
from tests.support.stack import Stack, telem
from tests.support.waiting import eventually
from traksense_ingest.shared.streams.keys import key_of


class Watching:
    """`status --watch`, in a pipe or at a terminal."""

    def __init__(self, stack: Stack, path: Path, *options: str) -> None:
        self._path = path
        words = ("status", "--watch", "0.1", "--timeout", "30", *options)
        with path.open("wb") as file:
            self.program = Program("ops", *words, environment=stack.environment | {"TERM": "xterm"}, stdout=file)

    @property
    def output(self) -> str:
        return self._path.read_text()

    def stop(self, signum: int = signal.SIGINT) -> int:
        self.program.send_signal(signum)
        return self.program.wait(30)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
async def test_watching_in_a_pipe_is_one_block_after_the_other(stack: Stack, tmp_path: Path, signum: int) -> None:
    watching = Watching(stack, tmp_path / "output")
    await eventually(lambda: watching.output.count("\n\n20") >= 2 or watching.program.poll() is not None)
    assert watching.stop(signum) == 0, watching.output
    assert "\x1b" not in watching.output
    assert "Traceback" not in watching.output
    blocks = re.split(r"^[0-9-]{10} [0-9:]{8} UTC\n", watching.output, flags=re.MULTILINE)[1:]
    assert len(blocks) >= 3
    assert all("\n\nbroker    up" in block for block in blocks)


async def test_watching_as_json_is_one_object_a_line_also_while_redis_comes_and_goes(
    stack: Stack, tmp_path: Path
) -> None:
    watching = Watching(stack, tmp_path / "output", "--json")

    def states() -> list[str]:
        return [
            json.loads(line)["dependencies"]["redis"]["state"]
            for line in watching.output.splitlines(keepends=True)[:-1]
        ]

    await eventually(lambda: states()[-1:] == ["up"])
    stack.redis_server.kill()
    await eventually(lambda: states()[-1:] == ["unreachable"])
    stack.redis_server.start()
    await eventually(lambda: states()[-1:] == ["up"])
    await stack.append(*telem())
    await eventually(lambda: json.loads(watching.output.splitlines()[-2])["shards"][0]["in_stream"] == 1)
    stack.redis_server.kill()
    await eventually(lambda: states()[-1:] == ["unreachable"])
    assert watching.stop() == 0


async def test_watching_at_a_terminal_draws_over_itself_until_ctrl_c(stack: Stack) -> None:
    ours, theirs = pty.openpty()
    watching = Watching(stack, Path(os.ttyname(theirs)))
    os.set_blocking(ours, False)
    screen = bytearray()

    def drawn(times: int) -> bool:
        with contextlib.suppress(BlockingIOError, OSError):
            screen.extend(os.read(ours, 65_536))
        return screen.count(b"ingest:{0}: 0 added") >= times

    await eventually(lambda: drawn(3), screen.decode)
    watching.program.send_signal(signal.SIGINT)
    await eventually(lambda: drawn(0) and watching.program.poll() is not None)
    assert watching.program.returncode == 0
    assert b"\x1b[1A" in screen, "the cursor moves up to draw over"
    assert b"\x1b[?25h" in screen, "the cursor is shown again"
    assert b"Traceback" not in screen
    os.close(ours)
    os.close(theirs)


async def test_a_backlog_is_remembered_by_whoever_watches(stack: Stack, tmp_path: Path) -> None:
    await stack.append(*telem())
    watching = Watching(stack, tmp_path / "output", "--json")
    await eventually(lambda: is_remembered(stack))
    assert watching.stop() == 0


async def is_remembered(stack: Stack) -> bool:
    rows = await stack.fetch("SELECT in_stream FROM stream_ledger WHERE stream = $1", key_of(0))
    return [row["in_stream"] for row in rows] == [1]
