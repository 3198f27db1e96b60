"""The users that docker-compose.yml gives to Redis, at a real one: the looker may do what the pages ask for."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import pytest

from tests.support.handbook import DOCS
from tests.support.stack import Stack
from tests.unit.test_compose import COMPOSE, REQUIRED

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
    (looker,) = (line for line in content.splitlines() if line.startswith("user looker "))
    await stack.redis_command("ACL", "SETUSER", *REQUIRED.sub("PASSWORD", looker).split()[1:])
    return stack


async def test_the_looker_may_do_what_the_runbooks_ask_for(guarded: Stack) -> None:
    asked = set(commands())
    assert {"PING", "INFO commandstats", "XLEN 'ingest:{0}'", "XRANGE 'ingest:{0}' ID ID"} <= asked
    for command in asked:
        answer = await guarded.redis_command("ACL", "DRYRUN", "looker", *shlex.split(command))
        assert answer == b"OK", f"{command}: {answer}"


async def test_a_command_that_is_forbidden_would_be_noticed(guarded: Stack) -> None:
    for command in ("CONFIG GET maxmemory-policy", "ROLE", "XDEL ingest:{0} 1-0", "HGETALL other"):
        assert await guarded.redis_command("ACL", "DRYRUN", "looker", *command.split()) != b"OK"
