"""What `status --json` says of a stack, and the heartbeats of receivers in Redis."""

from __future__ import annotations

import json
from typing import Any

from tests.support.stack import Stack
from traksense_ingest.shared.streams.heartbeat import KEY

DEPENDENCIES = ("broker", "redis", "database")


async def report_of(stack: Stack, *options: str, **variables: object) -> tuple[int, dict[str, Any]]:
    """The exit code and the JSON."""
    done = await stack.status("--json", *options, **variables)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def states_of(report: dict[str, Any]) -> dict[str, str]:
    return {name: dependency["state"] for name, dependency in report["dependencies"].items()}


async def appended(stack: Stack, client_id: str, count: int) -> bool:
    """Whether a receiver's heartbeat counts so many messages."""
    return (await heartbeat_of(stack, client_id)).get("appended") == count


async def heartbeat_of(stack: Stack, client_id: str) -> dict[str, Any]:
    """The heartbeat of a receiver; empty for one that is not known."""
    value = await stack.redis.hget(KEY, client_id)
    return dict(json.loads(value or "{}"))


async def has_receivers(stack: Stack, count: int) -> bool:
    return bool(await stack.redis.hlen(KEY) == count)
