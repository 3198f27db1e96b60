"""What Redis refuses a service – a permission, a password, a parameter – is one line and exit code 2."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError

from tests.support.program import run
from tests.support.redis_users import LEDGER, SECRET, STREAM, acl, as_user, has_waitaof, stops
from tests.support.stack import Stack
from traksense_ingest.receiver import append
from traksense_ingest.shared.streams.client import ServerClients, require
from traksense_ingest.writer.read import consumer as group


@pytest.mark.parametrize(("user", "commands"), [("receiver", append.COMMANDS), ("writer", group.COMMANDS)])
async def test_each_permission_that_is_missing_is_named(guarded: Stack, user: str, commands: tuple[str, ...]) -> None:
    async with Redis.from_url(as_user(guarded, user), protocol=2) as client:
        await require(ServerClients(client), 3, commands)
        for command in commands:
            name, *arguments = command.split()
            rule = f"{name}|{arguments[0]}" if name in ("XGROUP", "XINFO") else name
            await acl(guarded.redis, user, f"-{rule}")
            with pytest.raises(NoPermissionError, match=f"may not run: {name} "):
                await require(ServerClients(client), 1, commands)
            await acl(guarded.redis, user, f"+{rule}")
        await acl(guarded.redis, user, "resetkeys", f"~{STREAM}", f"~{LEDGER}")
        await require(ServerClients(client), 1, commands)
        with pytest.raises(NoPermissionError):
            await require(ServerClients(client), 2, commands)


@pytest.mark.parametrize(
    ("service", "rule", "line"),
    [
        ("receiver", "-xadd", "this user may not run: XADD ingest:{0}"),
        ("receiver", "-evalsha", ""),
        ("receiver", "-ping", ""),
        ("writer", "-xdel", "this user may not run: XDEL ingest:{0}"),
        ("writer", "resetkeys", ""),
    ],
)
async def test_a_missing_permission_is_one_line(guarded: Stack, service: str, rule: str, line: str) -> None:
    await acl(guarded.redis, service, rule)
    await stops(guarded.start(service, REDIS_URL=as_user(guarded, service)), f"REDIS_URL: redis: {line}")


@pytest.mark.parametrize("service", ["receiver", "writer", "status"])
async def test_a_wrong_password_is_one_line(guarded: Stack, service: str) -> None:
    for url in (as_user(guarded, service, "wrong"), as_user(guarded, "nobody")):
        if service == "status":
            checked = await guarded.status(REDIS_URL=url)
            assert (checked.returncode, checked.stderr) == (2, "")
            assert "invalid username-password pair" in checked.stdout.splitlines()[3]
            assert url.partition(":")[2].split(":")[1].split("@")[0] not in checked.stdout
        else:
            await stops(guarded.start(service, REDIS_URL=url), "REDIS_URL: redis: invalid username-password pair")


async def test_durability_is_logged_as_far_as_it_may_be_asked(guarded: Stack) -> None:
    await acl(guarded.redis, "receiver", "-waitaof" if await has_waitaof(guarded.redis) else "-info")
    url = as_user(guarded, "receiver")
    receiver = await guarded.receiver(REDIS_URL=url)
    assert "WARNING traksense_ingest.receiver.durability: durability: " in receiver.log
    assert "Traceback" not in receiver.log
    receiver.kill()
    if await has_waitaof(guarded.redis):
        await stops(guarded.start("receiver", REDIS_URL=url, INGEST_DURABILITY="aof"), "INGEST_DURABILITY=aof, but ")


async def test_a_redis_without_an_append_only_file_is_logged(guarded: Stack) -> None:
    await guarded.redis.config_set("appendonly", "no")
    receiver = await guarded.receiver(REDIS_URL=as_user(guarded, "receiver"))
    assert "this Redis has no append-only file" in receiver.log


@pytest.mark.parametrize(
    "query", ["?unknown=1", "?ssl_cert_reqs=perhaps", "?ssl_min_version=new", "?db=one"], ids=lambda query: query
)
def test_a_parameter_that_redis_py_does_not_know_is_one_line(query: str) -> None:
    """Before anything is connected to."""
    environment = {"REDIS_URL": f"rediss://u:{SECRET}@127.0.0.1:1/0{query}", "METRICS_PORT": "0"}
    for words in (["receiver"], ["writer"], ["ops", "status"]):
        done = run(*words, environment=environment)
        assert done.returncode == 2
        assert done.stderr.splitlines()[-1].startswith("REDIS_URL='rediss://u:***@127.0.0.1:"), done
        assert len(done.stderr.splitlines()) <= (1 if "status" in words else 2), "services log that they start"
        assert SECRET not in done.stderr
