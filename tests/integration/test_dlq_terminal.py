"""`dlq` at a terminal and in a pipe: progress, and a question before rows are deleted."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.support.dead_letters import TOPIC, dead_letter, in_process
from tests.support.stack import Stack
from tests.support.terminal import Terminal
from tests.support.waiting import eventually


@pytest.fixture
def at_terminal(stack: Stack) -> Iterator[Callable[..., Terminal]]:
    with contextlib.ExitStack() as lifetimes:

        def start(*arguments: str) -> Terminal:
            command = [sys.executable, "-m", "traksense_ingest.ops", "dlq", *arguments]
            environment = {**stack.environment, "PYTHONPATH": ":".join(sys.path)}
            return lifetimes.enter_context(contextlib.closing(Terminal(environment, *command)))

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


async def test_a_replay_in_a_pipe_writes_its_progress(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    await dead_letter(stack, *((TOPIC, b"%d" % number) for number in range(60)))
    monkeypatch.setattr("traksense_ingest.ops.progress.LINE_EVERY_S", 0.01)
    done = await in_process(stack, "replay", "--all", "--rate", "300")
    assert done.exit_code == 0
    assert re.search(r"^\d+ of 60 done$", done.stderr, re.MULTILINE), done.stderr
    assert done.stdout == "60 messages replayed\n"


@pytest.mark.parametrize(("answer", "left", "shown"), [("y", 0, "2 rows deleted"), ("n", 2, "nothing was deleted")])
async def test_a_purge_at_a_terminal_asks_and_does_what_is_answered(
    stack: Stack, at_terminal: Callable[..., Terminal], answer: str, left: int, shown: str
) -> None:
    await dead_letter(stack, (TOPIC, b"x"), (TOPIC, b"y"))
    terminal = at_terminal("purge", "--older-than", "0s")
    await eventually(lambda: "Delete 2 rows? [y/N]: " in terminal.seen)
    assert await stack.count("ingest_errors") == 2, "not before it is answered"
    terminal.type(f"{answer}\n")
    assert await terminal.ends() == (0 if answer == "y" else 1)
    assert terminal.seen.splitlines()[-1] == shown
    assert await stack.count("ingest_errors") == left
