"""docker-compose.yml and the Dockerfile on a real engine, with stand-ins for the servers' images (tests/compose)."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import shlex
from functools import partial
from typing import Any

import pytest

from tests.compose.engine import SLOW_S, docker
from tests.compose.project import EXAMPLE, Project, kill, publishing
from tests.support.waiting import eventually

pytestmark = pytest.mark.long


async def test_what_an_operator_does(project: Project) -> None:
    await project.compose("up -d")
    assert await counts(project) == [1, 1]
    assert "ALL CHECKS PASSED" in await validate(project)

    project.set(RECEIVERS=2, WRITERS=3)
    await project.compose("up -d")
    assert await counts(project) == [2, 3]
    assert "ALL CHECKS PASSED" in await validate(project)
    project.set(COMPOSE_PROFILES="demo")
    await project.compose("up -d")
    assert await counts(project) == [2, 3]
    assert await project.containers("simulate")
    await eventually(lambda: are_scraped(project, 5), "Prometheus sees each of them", SLOW_S)

    await comes_to(project, await under_fire(project))
    assert "parse_error" in await project.ops("dlq list --tenant load")
    assert await project.ops("status --timeout 30")

    await looks_into_redis(project)
    await may_write_nothing(project)


async def counts(project: Project) -> list[int]:
    return [len(await project.containers(service)) for service in ("receiver", "writer")]


async def validate(project: Project) -> str:
    """Once all are ready, of which each is named."""
    metrics = [
        f"--{service}-metrics=http://{name}:{port}/metrics"
        for service, port in (("receiver", 9101), ("writer", 9100))
        for name in await project.containers(service)
    ]
    return await project.ops("validate --min-rate 100", *metrics)


async def are_scraped(project: Project, expected: int) -> bool:
    targets = (await project.get("/api/v1/targets"))["data"]["activeTargets"]
    ours = [target["health"] for target in targets if target["labels"]["job"] in ("receiver", "writer")]
    return ours == ["up"] * expected


async def under_fire(project: Project) -> dict[str, int]:
    """Devices publish while one receiver and two writers are killed and started again; how many rows it has to be."""
    options = "--tenant load --devices 40 --messages 9000 --rate 300 --bad 0.02 --seed 7 --json --no-progress"
    load = asyncio.create_task(project.ops(f"simulate {options}"))
    await eventually(lambda: has_rows(project, 1000), "some are stored", SLOW_S)
    for name in ("receiver-1", "writer-1", "writer-3"):
        kill(f"{project.name}-{name}")
    assert await counts(project) == [1, 1]
    assert not load.done()
    await project.compose("up -d")
    assert await counts(project) == [2, 3]
    summary: dict[str, Any] = json.loads(await load)
    assert (summary["published"], summary["unconfirmed"]) == (9000, 0)
    return dict(summary["expected_rows"])


async def has_rows(project: Project, least: int, tenant: str = "load") -> bool:
    return int(await project.sql(f"SELECT count(*) FROM ts_measure WHERE tenant_id = '{tenant}'")) >= least


async def comes_to(project: Project, expected: dict[str, int], tenant: str = "load") -> None:
    """Wait until each table has as many rows as it has to; it fails with what there is. A bad message that the broker
    delivers again, as after a receiver was killed, is one dead letter more."""
    stored: dict[str, int] = {}
    letters = "ingest_errors"

    async def is_there() -> bool:
        for table in expected:
            stored[table] = int(await project.sql(f"SELECT count(*) FROM {table} WHERE tenant_id = '{tenant}'"))
        return stored | {letters: min(stored[letters], expected[letters])} == expected

    await eventually(is_there, lambda: f"{expected}, but {stored}", SLOW_S)


def as_inspector(project: Project) -> str:
    password = project.variables["REDIS_INSPECTOR_PASSWORD"]
    return f"exec -T -e REDISCLI_AUTH={password} redis redis-cli --user inspector"


async def is_drained(project: Project) -> bool:
    inspector = as_inspector(project)
    return (await project.compose(f"{inspector} XLEN ingest:{{0}}")).strip() == "0"


async def looks_into_redis(project: Project) -> None:
    await project.compose("stop simulate")
    await eventually(lambda: is_drained(project), "the devices' messages are stored", SLOW_S)
    inspector = as_inspector(project)
    assert "maxmemory_policy:noeviction" in await project.compose(f"{inspector} INFO memory")
    assert "NOPERM" in await project.compose(f"{inspector} DEL ingest:{{0}}")
    assert "NOPERM" in await project.compose("exec -T redis redis-cli XLEN ingest:{0}")


async def may_write_nothing(project: Project) -> None:
    for service in ("receiver", "writer"):
        assert (await project.compose(f"exec -T {service} id -u")).strip() == "10001"
        done = await project.tries(f"exec -T {service} touch /opt/venv/here")
        assert "Read-only file system" in done.stderr


@pytest.mark.parametrize(
    "commands",
    [("down", "up -d"), ("stop", "start"), ("stop devices drain", "restart emqx", "up -d")],
    ids=["down", "stop", "orderly restart of the broker"],
)
async def test_nothing_that_was_acknowledged_to_a_device_is_lost(project: Project, commands: tuple[str, ...]) -> None:
    project.set(RECEIVERS=2)
    await project.compose("up -d")
    async with publishing(project, "--tenant=load", "--devices=40", "--messages=4000", "--rate=300") as devices:
        await eventually(lambda: has_rows(project, 500), "some are stored", SLOW_S)
        held = await held_by_the_broker(project)
        for command in commands:
            await project.compose(command)
        summary = await devices
    assert (summary["published"], summary["unconfirmed"]) == (4000, 0)
    await comes_to(project, summary["expected_rows"])
    await comes_to(project, held, "held")
    assert await project.ops("status --timeout 30")


async def held_by_the_broker(project: Project) -> dict[str, int]:
    """Messages that it has acknowledged and no receiver has taken: how many rows they have to be. They are in its
    memory alone."""
    receivers = await project.containers("receiver")
    docker("pause", *receivers)
    async with publishing(project, "--tenant=held", "--messages=200", "--rate=200") as devices:
        summary = await devices
    docker("unpause", *receivers)
    rows: dict[str, int] = summary["expected_rows"]
    return rows


async def test_a_host_that_is_switched_off_and_on(project: Project) -> None:
    """Docker starts all containers at once, in no order. What comes in from then on is stored; what the broker had
    acknowledged in its last moment may be lost."""
    await project.compose("up -d")
    async with publishing(project, "--tenant=load", "--devices=40", "--messages=4000", "--rate=300") as devices:
        await eventually(lambda: has_rows(project, 500), "some are stored", SLOW_S)
        containers = project.running()
        docker("kill", *containers)
        docker("start", *containers)
        summary = await devices
    assert (summary["published"], summary["unconfirmed"]) == (4000, 0)
    rows = summary["expected_rows"]["ts_measure"]
    await eventually(lambda: has_rows(project, rows - rows * 300 // 4000), "all but those of a second", SLOW_S)
    async with publishing(project, "--tenant=after", "--messages=300", "--rate=300") as devices:
        summary = await devices
    await comes_to(project, summary["expected_rows"], "after")


@pytest.mark.parametrize("server", ["POSTGRES", "REDIS", "MQTT", "EMQX", "GRAFANA"])
async def test_each_password_of_the_file_can_be_changed(project: Project, server: str) -> None:
    """While devices publish, and nothing of that is lost; before they do where Mosquitto, unlike EMQX, would throw out
    whoever has the old one."""
    await project.compose("up -d")
    for name in re.findall(rf"^({server}_[A-Z_]+)=$", EXAMPLE, re.MULTILINE):
        tenant = name.lower().replace("_", "-")
        if server == "MQTT":
            await change(project, name)
        async with publishing(project, f"--tenant={tenant}", "--messages=300", "--rate=30") as devices:
            await eventually(partial(has_rows, project, 1, tenant), "some are stored", SLOW_S)
            if server != "MQTT":
                await change(project, name)
            summary = await devices
        await comes_to(project, summary["expected_rows"], tenant)
        assert await project.ops("status --timeout 30"), name


async def change(project: Project, name: str) -> None:
    """As .env.example says: where a server keeps it, there first."""
    new = secrets.token_hex(8)
    if name == "POSTGRES_PASSWORD":
        (command,) = re.findall(rf"^#   {name} +docker compose exec (.*)$", EXAMPLE, re.MULTILINE)
        await project.compose("exec -T", *shlex.split(command.replace("NEW", new)))
    elif name.startswith("MQTT_"):  # in the place of EMQX's dashboard
        user = name.split("_")[1].lower()
        await project.compose("exec -T emqx sh -c", f"mosquitto_passwd -b /tmp/users {user} {new} && kill -HUP 1")
    project.set(**{name: new})
    await project.compose("up -d")


async def test_each_service_stops_in_time(project: Project) -> None:
    """Also one that has just been started: none is killed, which would be exit code 137."""
    project.set(COMPOSE_PROFILES="demo")
    await project.compose("up -d")
    await project.compose("stop")
    ended = dict(line.split() for line in project.ended())
    assert {name for name, code in ended.items() if code == "137"} == set()
    assert len(ended) > 8
