"""No password comes out anywhere, whichever way it was given, and whatever goes wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

import pytest

from tests.support.budget import few_of
from tests.support.process import Process
from tests.support.program import Program
from tests.support.stack import Stack, telem
from tests.support.waiting import eventually
from traksense_ingest.ops.embedded import free_port

# What is looked for is in each of them; around it what URLs and JSON write differently.
CORES = {"mqtt": "c0reOfMqtt", "redis": "c0reOfRedis", "database": "c0reOfDatabase"}
SECRETS = {name: f'/a@b:{core}%41?c#d&e=f {core}\\"é' for name, core in CORES.items()}
WRONG = {name: f"wr0ng:{core}" for name, core in CORES.items()}


def quoted(text: str) -> str:
    return quote(text, safe="")


def quoted_throughout(text: str) -> str:
    """Every byte percent-encoded, letters too."""
    return "".join(f"%{byte:02X}" for byte in text.encode())


def in_user_info(url: str, user: str, password: str) -> str:
    return urlsplit(url)._replace(netloc=f"{user}:{quoted(password)}@{_address(url)}").geturl()


def quite_quoted(url: str, user: str, password: str) -> str:
    return urlsplit(url)._replace(netloc=f"{user}:{quoted_throughout(password)}@{_address(url)}").geturl()


def in_query(url: str, user: str, password: str) -> str:
    name = "user" if url.startswith("postgres") else "username"
    query = f"{name}={user}&password={quoted(password)}"
    return urlsplit(url)._replace(netloc=_address(url), query=query).geturl()


def _address(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


FORMS = {"user info": in_user_info, "query": in_query, "percent-encoded throughout": quite_quoted}


class Doors(NamedTuple):
    """A stack whose Redis and PostgreSQL want a password, and the user of both."""

    stack: Stack
    user: str

    def variables(
        self, form: str, secrets: Mapping[str, str] = SECRETS, urls: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """Every password that there is, in one form; `urls` replace the stack's own."""
        urls = urls or {}
        mqtt = urls.get("mqtt", self.stack.broker.url)
        redis = urls.get("redis", self.stack.redis_server.url)
        database = urls.get("database", self.stack.database_url)
        write = FORMS[form]
        in_variable = {"MQTT_URL": mqtt, "MQTT_USERNAME": self.user, "MQTT_PASSWORD": secrets["mqtt"]}
        in_url = {"MQTT_URL": write(mqtt, self.user, secrets["mqtt"])}
        return {
            **(in_variable if form == "query" else in_url),
            "REDIS_URL": write(redis, self.user, secrets["redis"]),
            "DATABASE_URL": write(database, self.user, secrets["database"]),
        }


@pytest.fixture
async def doors(stack: Stack) -> AsyncIterator[Doors]:
    user = f"user_of_{stack.database_url.rpartition('/')[2]}"
    client = stack.redis
    await client.acl_setuser(user, enabled=True, keys=["*"], commands=["+@all"], passwords=[f"+{SECRETS['redis']}"])
    password = SECRETS["database"].replace("'", "''")
    await stack.execute(f"CREATE ROLE {user} LOGIN SUPERUSER PASSWORD '{password}'")
    rules = Path(await stack.fetchval("SHOW hba_file"))
    before = rules.read_text()
    rules.write_text(f"host all {user} 127.0.0.1/32 scram-sha-256\n{before}")
    await stack.execute("SELECT pg_reload_conf()")
    yield Doors(stack, user)
    rules.write_text(before)
    await stack.execute("SELECT pg_reload_conf()")
    await stack.end_sessions()
    await stack.execute(f"DROP ROLE {user}")


def nothing_in(text: str, where: str) -> None:
    for core in CORES.values():
        for form in (core, quoted_throughout(core), quoted_throughout(core).lower()):
            assert form not in text, f"{where}: {text[max(0, text.find(form) - 200) : text.find(form) + 40]}"


def nothing_told_by(process: Process) -> None:
    nothing_in(process.log, "log")
    for path in ("/metrics", "/healthz", "/readyz", "/else"):
        nothing_in(process.get(path)[1], path)
    if process.popen.poll() is None:
        for file in ("cmdline", "comm", "status"):
            nothing_in(Path(f"/proc/{process.popen.pid}/{file}").read_text(errors="replace"), file)


async def nothing_in_the_servers(stack: Stack) -> None:
    nothing_in(str(await stack.redis.client_list()), "CLIENT LIST")
    nothing_in(str(await stack.fetch("SELECT activity::text FROM pg_stat_activity AS activity")), "pg_stat_activity")


RUNS = (
    ("percent-encoded throughout", "text"),
    ("query", "json"),
    ("user info", "text"),
    ("percent-encoded throughout", "json"),
    ("query", "text"),
    ("user info", "json"),
)


@pytest.mark.long
@pytest.mark.parametrize(("form", "log_format"), few_of(RUNS, 1))
async def test_services_that_run_and_lose_their_servers(doors: Doors, form: str, log_format: str) -> None:
    stack = doors.stack
    stack.is_cold = form == "percent-encoded throughout"  # /proc shows what a process was started with
    given = {**doors.variables(form), "LOG_LEVEL": "debug", "LOG_FORMAT": log_format, "PYTHONASYNCIODEBUG": "1"}
    services = await stack.receiver(**given), await stack.writer(**given, INGEST_CLAIM_IDLE_MS=300)
    await stack.publish(telem(), telem(), ("traksense/t/s/dev/telem", b"poison"))
    await stack.has_rows("ts_measure", 1)
    await nothing_in_the_servers(stack)
    for service in services:
        nothing_told_by(service)
    stack.redis_server.kill()
    stack.broker.kill()
    await stack.refuse_connections()
    for service in services:
        await service.says("redis is unreachable")
    await services[0].says("broker is unreachable")
    await services[1].says("database is unreachable")
    for service in services:
        nothing_told_by(service)
        assert service.stop() == 0
        nothing_told_by(service)
    await stack.allow_connections()
    stack.redis_server.start()


SPOILT = (
    *(("user info", "host"), ("query", "port"), ("user info", "password")),
    *(("query", "scheme"), ("user info", "address"), ("query", "percent")),
    *(("query", "host"), ("user info", "port"), ("query", "password")),
    *(("user info", "scheme"), ("query", "address"), ("user info", "percent")),
)


@pytest.mark.parametrize(("form", "wrong"), few_of(SPOILT, 6))
async def test_services_and_commands_that_can_not_begin(doors: Doors, form: str, wrong: str, tmp_path: Path) -> None:
    variables = spoilt(doors, form, wrong) | {"LOG_LEVEL": "debug"}
    services = [doors.stack.start("receiver", **variables), doors.stack.start("writer", **variables, LOG_FORMAT="json")]
    commands = "status --sample 0", "validate --timeout 1", "migrate", "simulate --messages 1"
    with ExitStack() as lifetimes:
        running = [lifetimes.enter_context(started(command, variables, tmp_path)) for command in commands]
        for process, output in running:
            await eventually(lambda p=process, o=output: p.poll() is not None or " unreachable" in o.read_text())  # type: ignore[misc]
            nothing_in(output.read_text(), output.name)
    for service in services:
        await eventually(partial(has_ended_or_waits, service))
        nothing_told_by(service)


def has_ended_or_waits(service: Process) -> bool:
    return service.popen.poll() is not None or " unreachable" in service.log or service.get("/readyz")[0] == 200


@contextmanager
def started(command: str, variables: Mapping[str, str], directory: Path) -> Iterator[tuple[Program, Path]]:
    """A command that runs, and the file with all that it says."""
    output = directory / command.partition(" ")[0]
    with output.open("wb") as file:
        process = Program("ops", *command.split(), environment=variables, stdout=file, directory=directory)
    nothing_in(Path(f"/proc/{process.pid}/cmdline").read_text(errors="replace"), "cmdline")
    yield process, output
    process.kill()
    process.wait()


def spoilt(doors: Doors, form: str, wrong: str) -> dict[str, str]:
    """Variables with every password in them, and none of the three servers to be had."""
    match wrong:
        case "host":
            addresses = dict.fromkeys(("mqtt", "redis", "database"), "no-such-host.invalid")
        case "port":
            addresses = dict.fromkeys(("mqtt", "redis", "database"), f"127.0.0.1:{free_port()}")
        case "password":
            return doors.variables(form, WRONG)
        case "scheme":
            return {name: value.replace("://", "//", 1) for name, value in doors.variables(form).items()}
        case "address":  # user and password without an address behind them
            return {name: value.split("@")[0] for name, value in doors.variables(form).items()}
        case _:  # somebody forgot to percent-encode
            return {name: unquote(value) for name, value in doors.variables(form).items()}
    urls = {"mqtt": "mqtt://{}", "redis": "redis://{}/0", "database": "postgresql://{}/traksense"}
    return doors.variables(form, urls={name: url.format(addresses[name]) for name, url in urls.items()})
