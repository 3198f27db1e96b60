"""Mistakes of operators, made while both services run."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

from tests.support.process import Process
from tests.support.stack import Stack, telem
from tests.support.waiting import eventually
from traksense_ingest.shared.streams.keys import key_of, ledger_of
from traksense_ingest.shared.streams.snapshot import read_snapshot

STREAM, LEDGER = key_of(0), ledger_of(0)
MESSAGES = [telem(f"dev{number % 10}", number) for number in range(1500)]
ACK = json.dumps({"schema": "v1", "cmd_id": "c", "ok": True}).encode()

Mistake = Callable[[Stack, Process, Process], Awaitable[None]]


async def nothing_is_lost(stack: Stack, mistake: Mistake) -> tuple[Process, Process]:
    """Make a mistake while messages come in and are stored; returns receiver and writer."""
    receiver, writer = await stack.receiver(), await stack.writer(INGEST_CLAIM_IDLE_MS=500)
    publishing = asyncio.create_task(stack.publish(*MESSAGES))
    await eventually(lambda: stack.count("ts_measure"), "it flows")
    await mistake(stack, receiver, writer)
    await publishing
    await stack.has_rows("ts_measure", len(MESSAGES))
    await eventually(lambda: is_ready(receiver, writer))
    assert await stack.count("ingest_errors") == 0
    for process in (receiver, writer):
        assert "Traceback" not in process.log
        assert process.negative_samples() == []
    return receiver, writer


def is_ready(*processes: Process) -> bool:
    return all(process.get("/readyz")[0] == 200 for process in processes)


async def ledger_agrees(stack: Stack) -> None:
    shard = await read_snapshot(stack.clients, 0)
    assert shard.missing == 0, shard
