"""docker-compose.yml and the Dockerfile on a real engine, with stand-ins for the servers' images (tests/compose)."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.compose import image
from tests.compose.project import ROOT, Project, kill
from tests.support.debian import DebianPostgres, Mosquitto
from tests.support.waiting import eventually

COMPOSE = (2, 24, 4)  # understands !reset and !override
(BASE,) = {*re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)}
SLOW_S = 300.0  # an image is copied for each container where the engine has no better storage


def lacking() -> str:
    """What this machine lacks, or nothing."""
    if not (shutil.which("docker") and docker("info")):
        return "no Docker engine answers here"
    version = docker("compose", "version", "--short")
    if tuple(map(int, re.findall(r"\d+", version)[:3])) < COMPOSE:  # () where there is none
        return "docker compose is not installed here, or older than 2.24.4"
    if not docker("image", "inspect", BASE):
        return f"the engine has no image {BASE}: pull it, or import another under its name"
    absent = [name for name in ("redis-cli", "prometheus", "wget") if not shutil.which(name)]
    absent += [kind.__name__ for kind in (Mosquitto, DebianPostgres) if not kind.installed()]
    return f"not installed here: {', '.join(absent)}" if absent else ""


def docker(*words: str) -> str:
    """What it says, nothing where it fails."""
    done = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else ""


@pytest.fixture
async def project(tmp_path: Path) -> AsyncIterator[Project]:
    if reason := lacking():
        pytest.skip(reason)
    image.make()
    project = Project(f"traksense-test-{os.getpid()}", tmp_path)
    await project.compose("build receiver")
    try:
        yield project
        assert (await project.tries("down")).returncode == 0
    finally:
        await project.tries("--profile * down --volumes --remove-orphans")


async def test_what_an_operator_does(project: Project) -> None:
    await project.compose("up -d")
    assert await counts(project) == [1, 1]
    assert "ALL CHECKS PASSED" in await validate(project)

    await project.compose("up -d --scale receiver=2 --scale writer=3")
    assert await counts(project) == [2, 3]
    assert "ALL CHECKS PASSED" in await validate(project)
    project.set(RECEIVERS=2, WRITERS=3)
    await project.compose("--profile demo up -d")
    assert await counts(project) == [2, 3]
    await project.compose("stop simulate")
    await eventually(lambda: are_scraped(project, 5), "Prometheus sees each of them", SLOW_S)

    await comes_to(project, await under_fire(project))
    assert "parse_error" in await project.ops("dlq list --tenant load")
    assert await project.ops("status")

    await looks_into_redis(project)
    await may_write_nothing(project)


async def counts(project: Project) -> list[int]:
    return [len(await project.containers(service)) for service in ("receiver", "writer")]


async def validate(project: Project) -> str:
    """Once all are ready, of which each is named."""
    metrics = [
        f"--{service}-metrics=http://{name}:{port}/metrics"
        for service, port in (("receiver", 9100), ("writer", 9101))
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


async def has_rows(project: Project, least: int) -> bool:
    return int(await project.sql("SELECT count(*) FROM ts_measure WHERE tenant_id = 'load'")) >= least


async def comes_to(project: Project, expected: dict[str, int]) -> None:
    """Wait until each table has as many rows as it has to; it fails with what there is. A bad message that the broker
    delivers again, as after a receiver was killed, is one dead letter more."""
    stored: dict[str, int] = {}
    letters = "ingest_errors"

    async def is_there() -> bool:
        for table in expected:
            stored[table] = int(await project.sql(f"SELECT count(*) FROM {table} WHERE tenant_id = 'load'"))
        return stored | {letters: min(stored[letters], expected[letters])} == expected

    await eventually(is_there, lambda: f"{expected}, but {stored}", SLOW_S)


async def looks_into_redis(project: Project) -> None:
    looker = f"exec -T -e REDISCLI_AUTH={project.variables['REDIS_LOOKER_PASSWORD']} redis redis-cli --user looker"
    assert (await project.compose(f"{looker} XLEN ingest:{{0}}")).strip() == "0"
    assert "maxmemory_policy:noeviction" in await project.compose(f"{looker} INFO memory")
    assert "NOPERM" in await project.compose(f"{looker} DEL ingest:{{0}}")
    assert "NOPERM" in await project.compose("exec -T redis redis-cli XLEN ingest:{0}")


async def may_write_nothing(project: Project) -> None:
    for service in ("receiver", "writer"):
        assert (await project.compose(f"exec -T {service} id -u")).strip() == "10001"
        done = await project.tries(f"exec -T {service} touch /opt/venv/here")
        assert "Read-only file system" in done.stderr
