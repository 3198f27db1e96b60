"""Every case of `tests/cases/messages.jsonl` through the real path, all in one burst."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.support.stack import Stack
from tests.support.waiting import eventually
from traksense_ingest.shared.messages import POISON_REASONS
from traksense_ingest.shared.metrics import MESSAGE_TYPES

CASES = [json.loads(line) for line in (Path(__file__).parents[1] / "cases" / "messages.jsonl").read_text().splitlines()]
COLUMNS = ("point_id", "ts", "v_num", "v_bool", "v_text", "unit")


def payload_of(case: dict[str, Any]) -> bytes:
    return bytes.fromhex(case["payload_hex"]) if "payload_hex" in case else case["payload"].encode()


async def test_each_case_comes_out_as_it_does_alone(stack: Stack) -> None:
    receiver, writer = await stack.receiver(MQTT_TOPICS="traksense/#"), await stack.writer()
    direct = [case for case in CASES if case["expect"].get("direct")]
    await stack.publish(*((case["topic"], payload_of(case)) for case in CASES if case not in direct))
    for case in direct:
        await stack.append(case["topic"], payload_of(case))

    await eventually(lambda: sum(count for _, count in settled(writer)) == len(CASES), "every message settled")
    failures = [f"{case['name']}: {wrong}" for case in CASES if (wrong := await outcome_of(stack, case))]
    assert not failures, "\n".join(failures)
    await eventually(lambda: receiver.metric("ingest_appended_messages_total") == len(CASES) - len(direct))
    await reasons_are_counted(writer)
    empty = [case for case in CASES if case["expect"].get("ignored") == "empty"]
    await writer.counts("ingest_ignored_total", len(empty), reason="empty", mapping="")


def settled(writer: Any) -> list[tuple[str, float]]:
    return [(kind, writer.metric("ingest_messages_total", type=kind)) for kind in MESSAGE_TYPES]


async def reasons_are_counted(writer: Any) -> None:
    expected = [case["expect"].get("reason") for case in CASES]
    for reason in POISON_REASONS:
        assert writer.metric("ingest_errors_total", reason=reason) == expected.count(reason), reason


async def outcome_of(stack: Stack, case: dict[str, Any]) -> str:
    """What is wrong with what became of a case; empty when nothing is."""
    expect = case["expect"]
    device = case["topic"].split("/")[3]
    if "ignored" in expect:
        return await ignored(stack, case)
    if "reason" in expect:
        return await rejected(stack, case)
    if "ack" in expect:
        return await stored(stack, "cmd_ack", device, expect["ack"])
    if "cmd" in expect:
        return await stored(stack, "command", device, expect["cmd"])
    if "event" in expect:
        return await stored(stack, "device_event", device, expect["event"])
    return await measured(stack, device, expect["rows"])


async def ignored(stack: Stack, case: dict[str, Any]) -> str:
    letters = await stack.fetchval("SELECT count(*) FROM ingest_errors WHERE topic = $1", case["topic"])
    return f"{letters} rows of ingest_errors" if letters else await measured(stack, case["topic"].split("/")[3], [])


async def rejected(stack: Stack, case: dict[str, Any]) -> str:
    expect, topic, payload = case["expect"], case["topic"], payload_of(case)
    rows = [
        row
        for row in await stack.fetch("SELECT * FROM ingest_errors WHERE topic = $1", topic)
        if (row["payload_raw"] if row["payload_raw"] is not None else row["payload"].encode()) == payload
    ]
    if len(rows) != 1:
        return f"{len(rows)} rows of ingest_errors"
    reason = str(rows[0]["reason"])
    if reason.split(":", maxsplit=1)[0] != expect["reason"] or expect.get("mentions", "") not in reason:
        return reason
    device = topic.split("/")[3]
    elsewhere = await stack.fetchval("SELECT count(*) FROM ts_measure WHERE device_id = $1", device)
    return f"{elsewhere} rows of ts_measure as well" if elsewhere else ""


async def stored(stack: Stack, table: str, device: str, values: dict[str, Any]) -> str:
    condition = " AND ".join(f"{column} = ${number}" for number, column in enumerate(values, 2))
    rows = await stack.fetch(f"SELECT * FROM {table} WHERE device_id = $1 AND {condition}", device, *values.values())
    return "" if len(rows) == 1 else f"{len(rows)} rows of {table}"


async def measured(stack: Stack, device: str, expected: list[dict[str, Any]]) -> str:
    rows = await stack.fetch(f"SELECT {', '.join(COLUMNS)} FROM ts_measure WHERE device_id = $1", device)
    found = sorted(tuple(row) for row in rows)
    wanted = sorted(
        tuple(
            datetime.fromisoformat(row["ts"]).astimezone(UTC) if column == "ts" else row.get(column)
            for column in COLUMNS
        )
        for row in expected
    )
    return "" if found == wanted else f"{found} instead of {wanted}"
