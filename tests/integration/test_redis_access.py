"""TLS and ACL users at a real Redis: what docs/security.md grants is enough, and nothing else is allowed."""

from __future__ import annotations

import asyncio
import shlex
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError

from ops.embedded import free_port
from receiver import append
from shared.presence import KEY
from shared.stream import GROUP, key_of, ledger_of, require
from tests.support.certificates import Authority, can_sign
from tests.support.debian import DebianRedis
from tests.support.handbook import blocks
from tests.support.process import Process
from tests.support.services import Services
from tests.support.stack import Stack, telem
from tests.support.waiting import eventually
from writer import group

SECRET = "s3cret-of-the-test"
USERS = ("receiver", "writer", "status")
STREAM, LEDGER = key_of(0), ledger_of(0)

FORBIDDEN_TO_ALL = [
    "FLUSHALL",
    "FLUSHDB",
    "CONFIG SET appendonly no",
    "CONFIG GET requirepass",
    "CONFIG REWRITE",
    "KEYS *",
    "SCAN 0",
    "GET other",
    "SET other value",
    "XADD other * field value",
    "XLEN other",
    "HGETALL other",
    f"DEL {STREAM}",
    f"UNLINK {STREAM}",
    f"RENAME {STREAM} other",
    f"COPY {STREAM} other",
    f"DUMP {STREAM}",
    f"XTRIM {STREAM} MAXLEN 0",
    f"XSETID {STREAM} 9-9",
    f"XGROUP DESTROY {STREAM} {GROUP}",
    f"DEL {LEDGER}",
    f"HDEL {LEDGER} stored",
    f"EXPIRE {STREAM} 1",
    "EVAL 'return 1' 0",
    "SCRIPT FLUSH",
    "FUNCTION LIST",
    "ACL LIST",
    "ACL SETUSER me on",
    "CLIENT LIST",
    "CLIENT KILL TYPE normal",
    "MONITOR",
    "SHUTDOWN NOSAVE",
    "REPLICAOF 127.0.0.1 1",
    "MODULE LIST",
    "SAVE",
    "PUBLISH channel message",
    "SUBSCRIBE channel",
]
FORBIDDEN = {
    "receiver": [
        f"XRANGE {STREAM} - +",
        f"XREADGROUP GROUP {GROUP} me STREAMS {STREAM} >",
        f"XACK {STREAM} {GROUP} 1-0",
        f"XDEL {STREAM} 1-0",
        f"HGETALL {LEDGER}",
        f"HINCRBY {LEDGER} stored 1",
        f"HSET {LEDGER} stored 5",
        f"XGROUP SETID {STREAM} {GROUP} $",
        f"XLEN {LEDGER}",
        f"HSET {STREAM} field 1",
        f"HDEL {STREAM} field",
        f"SET {KEY} value",
        f"DEL {KEY}",
        f"EXPIRE {KEY} 1",
    ],
    "writer": [f"XADD {STREAM} * field value", f"HGETALL {STREAM}x"],
    "status": [
        f"XADD {STREAM} * field value",
        f"XGROUP SETID {STREAM} {GROUP} $",
        f"HSET {LEDGER} stored 5",
        f"XDEL {STREAM} 1-0",
        f"XREADGROUP GROUP {GROUP} me STREAMS {STREAM} >",
        f"HINCRBY {LEDGER} stored 1",
        f"HSET {KEY} receiver 1",
        f"HDEL {KEY} receiver",
    ],
}


async def add_users(admin: Redis) -> None:
    """The users of docs/security.md, as the page has them for this version."""
    (lines,) = blocks("redis" if await has_waitaof(admin) else "redis-7.0")
    for line in lines.replace("PASSWORD", SECRET).splitlines():
        await acl(admin, *line.split()[1:])


async def has_waitaof(admin: Redis) -> bool:
    """Whether it is Redis 7.2 or newer, or Valkey."""
    version: str = (await admin.info("server"))["redis_version"]
    return tuple(map(int, version.split("."))) >= (7, 2)


async def acl(admin: Redis, *words: str) -> None:
    client: Any = admin
    assert await client.execute_command("ACL", "SETUSER", *words) in (True, b"OK")


TRIED = {b"client|setinfo", b"config|get"}  # redis-py names itself; how Redis is configured is only worth a try


async def refusals(admin: Any) -> list[Any]:
    """Every command that the ACL has refused so far."""
    entries = await admin.execute_command("ACL", "LOG")
    return [entry for entry in entries if not TRIED & set(entry)]


def as_user(stack: Stack, user: str, password: str = SECRET) -> str:
    return f"redis://{user}:{password}@127.0.0.1:{stack.redis_server.port}/0"


@pytest.fixture
async def guarded(stack: Stack) -> Stack:
    """A stack whose Redis has the users; its own connection remains the administrator's."""
    await add_users(stack.redis)
    return stack


async def status_of(stack: Stack, url: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "ops", "status", "--sample", "0", "--timeout", "30"],
        env={**stack.environment, "REDIS_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )


async def test_what_the_page_grants_is_enough_for_all_that_they_do(guarded: Stack) -> None:
    """New, repeated and bad messages; a writer that dies, one that fails, one that leaves; a look at the sums."""
    await guarded.execute("""
        CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NEW.device_id = 'cursed' THEN RAISE EXCEPTION 'a bug' USING ERRCODE = 'XX000'; END IF;
            RETURN NEW;
        END $$""")
    await guarded.execute("CREATE TRIGGER fail BEFORE INSERT ON ts_measure FOR EACH ROW EXECUTE FUNCTION fail()")
    receiver = await guarded.receiver(REDIS_URL=as_user(guarded, "receiver"))
    settings = {"REDIS_URL": as_user(guarded, "writer"), "INGEST_CLAIM_IDLE_MS": 300, "INGEST_MAX_DELIVERIES": 2}
    frozen = await guarded.writer(**settings, INGEST_BATCH_MS=1000)
    messages = [telem(second=second) for second in range(200)]
    await guarded.publish(*messages[:150], ("traksense/t/s/dev/telem", b"poison"), telem("cursed"))
    await eventually(guarded.pending)
    frozen.signal(signal.SIGSTOP)
    writer = await guarded.writer(**settings)
    await guarded.publish(*messages)
    await guarded.has_rows("ts_measure", 200)
    await guarded.has_rows("ingest_errors", 2)
    frozen.kill()
    assert writer.stop() == 0
    assert receiver.stop() == 0
    assert (await status_of(guarded, as_user(guarded, "status"))).returncode == 0
    assert await refusals(guarded.redis) == []


async def test_what_the_page_grants_is_enough_to_see_who_is_there(guarded: Stack) -> None:
    receiver = await guarded.receiver(REDIS_URL=as_user(guarded, "receiver"), MQTT_CLIENT_ID="edge-7")
    await eventually(lambda: guarded.redis.hexists(KEY, "edge-7"))
    checked = await status_of(guarded, as_user(guarded, "status"))
    assert (checked.returncode, "edge-7" in checked.stdout) == (0, True), checked.stdout
    assert receiver.stop() == 0
    assert not await guarded.redis.exists(KEY)
    assert await refusals(guarded.redis) == []


async def was_refused_again(admin: Redis) -> bool:
    entries = [dict(zip(entry[::2], entry[1::2], strict=True)) for entry in await refusals(admin)]
    return any(entry[b"context"] == b"lua" and entry[b"count"] >= 3 for entry in entries)


async def test_a_receiver_that_may_not_say_that_it_is_there_works_all_the_same(guarded: Stack) -> None:
    await acl(guarded.redis, "receiver", "clearselectors")
    receiver = await guarded.receiver(REDIS_URL=as_user(guarded, "receiver"))
    await guarded.publish(telem())
    await eventually(guarded.backlog)
    await receiver.says("`traksense-ingest status` can't see this receiver: ingest:{receivers}: ")
    await eventually(lambda: was_refused_again(guarded.redis))
    assert receiver.stop() == 0
    assert receiver.log.count("can't see this receiver") == 1
    assert "Traceback" not in receiver.log


@pytest.mark.parametrize("user", USERS)
async def test_nothing_else_is_allowed(guarded: Stack, user: str) -> None:
    await guarded.append(*telem())
    client: Any
    async with Redis.from_url(as_user(guarded, user), protocol=2) as client:
        for command in FORBIDDEN_TO_ALL + FORBIDDEN[user]:
            with pytest.raises(NoPermissionError):
                print(command, await client.execute_command(*shlex.split(command)))
    assert await guarded.backlog() == 1


@pytest.mark.parametrize(("user", "commands"), [("receiver", append.COMMANDS), ("writer", group.COMMANDS)])
async def test_each_permission_that_is_missing_is_named(guarded: Stack, user: str, commands: tuple[str, ...]) -> None:
    async with Redis.from_url(as_user(guarded, user), protocol=2) as client:
        await require(client, 3, commands)
        for command in commands:
            name, *arguments = command.split()
            rule = f"{name}|{arguments[0]}" if name in ("XGROUP", "XINFO") else name
            await acl(guarded.redis, user, f"-{rule}")
            with pytest.raises(NoPermissionError, match=f"may not run: {name} "):
                await require(client, 1, commands)
            await acl(guarded.redis, user, f"+{rule}")
        await acl(guarded.redis, user, "resetkeys", f"~{STREAM}", f"~{LEDGER}")
        await require(client, 1, commands)
        with pytest.raises(NoPermissionError):
            await require(client, 2, commands)


async def stops(process: Process, line: str) -> None:
    """It ends with exit code 2 and one line that says why."""
    assert await asyncio.to_thread(process.wait) == 2, process.log
    assert process.log.splitlines()[-1].startswith(line), process.log
    assert "Traceback" not in process.log
    assert SECRET not in process.log


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
            checked = await status_of(guarded, url)
            assert (checked.returncode, checked.stderr) == (2, "")
            assert "invalid username-password pair" in checked.stdout.splitlines()[1]
            assert url.partition(":")[2].split(":")[1].split("@")[0] not in checked.stdout
        else:
            await stops(guarded.start(service, REDIS_URL=url), "REDIS_URL: redis: invalid username-password pair")


async def test_durability_is_told_as_far_as_it_may_be_asked(guarded: Stack) -> None:
    await acl(guarded.redis, "receiver", "-waitaof" if await has_waitaof(guarded.redis) else "-info")
    url = as_user(guarded, "receiver")
    receiver = await guarded.receiver(REDIS_URL=url)
    assert "WARNING receiver.durability: durability: " in receiver.log
    assert "Traceback" not in receiver.log
    receiver.kill()
    if await has_waitaof(guarded.redis):
        await stops(guarded.start("receiver", REDIS_URL=url, INGEST_DURABILITY="aof"), "INGEST_DURABILITY=aof, but ")


async def test_info_tells_that_there_is_no_append_only_file(guarded: Stack) -> None:
    await guarded.redis.config_set("appendonly", "no")
    receiver = await guarded.receiver(REDIS_URL=as_user(guarded, "receiver"))
    assert "this Redis has no append-only file" in receiver.log


@pytest.mark.parametrize(
    "query", ["?unknown=1", "?ssl_cert_reqs=perhaps", "?ssl_min_version=new", "?db=one"], ids=lambda query: query
)
async def test_a_parameter_that_redis_py_does_not_know_is_one_line(stack: Stack, query: str) -> None:
    url = f"rediss://u:{SECRET}@127.0.0.1:{stack.redis_server.port}/0{query}"
    for service in ("receiver", "writer"):
        await stops(stack.start(service, REDIS_URL=url), "REDIS_URL='rediss://u:***@127.0.0.1:")
    checked = await status_of(stack, url)
    assert (checked.returncode, len(checked.stderr.splitlines())) == (2, 1)
    assert SECRET not in checked.stderr


@pytest.fixture
async def encrypted(
    request: pytest.FixtureRequest, services: Services, database: str, tmp_path: Path
) -> AsyncIterator[Any]:
    """A stack, its Redis with the users and a TLS port for 127.0.0.1, its CA and that port."""
    if not (DebianRedis.installed() and can_sign()):
        pytest.skip("needs Debian's redis-server and openssl (the embedded one is built without TLS)")
    authority, port = Authority(tmp_path / "right"), free_port()
    certificate, key = authority.sign("redis", "IP:127.0.0.1")
    options = {
        "tls-port": str(port),
        "tls-cert-file": str(certificate),
        "tls-key-file": str(key),
        "tls-ca-cert-file": str(authority.certificate),
        "tls-auth-clients": getattr(request, "param", "no"),
    }
    redis = DebianRedis(tmp_path / "redis", free_port(), options)
    with services.broker(tmp_path) as broker, redis:
        stack = Stack(broker, redis, database, tmp_path)
        await add_users(stack.redis)
        yield stack, authority, port
        await stack.close()


def rediss(port: int, user: str, parameters: Mapping[str, object] | None = None, host: str = "127.0.0.1") -> str:
    query = "&".join(f"{name}={value}" for name, value in (parameters or {}).items())
    return f"rediss://{user}:{SECRET}@{host}:{port}/0?{query}"


async def comes_through(stack: Stack, port: int, parameters: Mapping[str, object]) -> None:
    await stack.receiver(REDIS_URL=rediss(port, "receiver", parameters))
    await stack.writer(REDIS_URL=rediss(port, "writer", parameters))
    await stack.publish(telem())
    await stack.has_rows("ts_measure", 1)
    assert (await status_of(stack, rediss(port, "status", parameters))).returncode == 0


async def test_tls_right_and_wrong(encrypted: tuple[Stack, Authority, int], tmp_path: Path) -> None:
    stack, authority, port = encrypted
    trusted, other = (
        {"ssl_ca_certs": authority.certificate},
        {"ssl_ca_certs": Authority(tmp_path / "wrong").certificate},
    )
    await comes_through(stack, port, trusted)
    for service in ("receiver", "writer"):
        for url in (rediss(port, service), rediss(port, service, other), rediss(port, service, trusted, "localhost")):
            process = stack.start(service, REDIS_URL=url)
            await stops(process, "REDIS_URL: redis: ")
            assert "CERTIFICATE_VERIFY_FAILED" in process.log.splitlines()[-1]
    assert (await status_of(stack, rediss(port, "status", other))).returncode == 2


@pytest.mark.parametrize("encrypted", ["yes"], indirect=True)
async def test_mutual_tls(encrypted: tuple[Stack, Authority, int], tmp_path: Path) -> None:
    stack, authority, port = encrypted
    certificate, key = authority.sign("client", "DNS:client")
    foreign, foreign_key = Authority(tmp_path / "wrong").sign("client", "DNS:client")
    trusted = {"ssl_ca_certs": authority.certificate}
    await comes_through(stack, port, trusted | {"ssl_certfile": certificate, "ssl_keyfile": key})

    def start(**parameters: object) -> Process:
        return stack.start("writer", REDIS_URL=rediss(port, "writer", trusted | parameters))

    await stops(start(ssl_certfile=certificate, ssl_keyfile=foreign_key), f"REDIS_URL: {certificate} and its key: ")
    await stops(start(ssl_certfile=tmp_path / "absent"), f"REDIS_URL: {tmp_path / 'absent'}: no such file")
    await stops(start(ssl_certfile=tmp_path), f"REDIS_URL: {tmp_path}: no such file")
    await stops(start(ssl_keyfile=key), f"REDIS_URL: {key}: a key without its certificate")
    # Redis says that it refuses us, or just hangs up: the one is hopeless, the other can't be told from an outage.
    for process in (start(), start(ssl_certfile=foreign, ssl_keyfile=foreign_key)):
        await eventually(lambda process=process: "REDIS_URL: redis: " in process.log or "redis is away" in process.log)  # type: ignore[misc]
        assert process.get("/readyz")[0] != 200
        assert "Traceback" not in process.log
