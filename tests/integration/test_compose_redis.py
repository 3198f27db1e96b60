"""The users that docker-compose.yml gives to Redis, at a real one: the inspector may do what the pages ask for."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import pytest

from tests.support.compose import COMPOSE, REQUIRED
from tests.support.handbook import DOCS
from tests.support.stack import Stack

PAGES = [DOCS.parent / "README.md", DOCS / "operations.md", DOCS / "reliability.md"]
SHOWN = re.compile(r"redis-cli((?: (?:'[^']*'|[^\s'`|;#)]+))+)")
OPTIONS = re.compile(r" --(?:user \w+|askpass)| …")


def commands() -> Iterator[str]:
    """What the pages ask Redis, without redis-cli's own options."""
    for page in PAGES:
        for found in SHOWN.findall(page.read_text().replace("`redis-cli\n", "`redis-cli ")):
            if words := OPTIONS.sub("", found).strip():
                yield words


@pytest.fixture
async def guarded(stack: Stack) -> Stack:
    content: str = COMPOSE["configs"]["redis-users"]["content"]
    (inspector,) = (line for line in content.splitlines() if line.startswith("user inspector "))
    await stack.redis_command("ACL", "SETUSER", *REQUIRED.sub("PASSWORD", inspector).split()[1:])
    return stack


async def test_the_inspector_may_do_what_the_runbooks_ask_for(guarded: Stack) -> None:
    asked = set(commands())
    assert {"PING", "INFO commandstats", "XLEN 'ingest:{0}'", "XRANGE 'ingest:{0}' ID ID"} <= asked
    for command in asked:
        answer = await guarded.redis_command("ACL", "DRYRUN", "inspector", *shlex.split(command))
        assert answer == b"OK", f"{command}: {answer}"


async def test_a_command_that_is_forbidden_would_be_noticed(guarded: Stack) -> None:
    for command in ("CONFIG GET maxmemory-policy", "ROLE", "XDEL ingest:{0} 1-0", "HGETALL other"):
        assert await guarded.redis_command("ACL", "DRYRUN", "inspector", *command.split()) != b"OK"
