"""`import` of a file: exact messages, once, and what becomes of lines that are none."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_crash_points import drain
from tests.support import dead_letters, streams
from tests.support.dead_letters import BYTES, TOPIC, dead_letter, entries
from tests.support.imports import Import, appended, history, imports, json_lines, received, succeeds
from tests.support.redis_users import acl, add_users, as_user, refusals
from tests.support.stack import Stack, telem
from tests.support.streams import never_longer_than
from tests.support.waiting import eventually, watching
from traksense_ingest.ops.imports.destination import Destination
from traksense_ingest.shared.failure import Unusable
from traksense_ingest.shared.streams.keys import imports_of, key_of, shard_of
from traksense_ingest.shared.streams.snapshot import read_snapshot

pytestmark = pytest.mark.long  # of `make test-all`


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "history.jsonl"


async def test_dead_letters_of_one_installation_go_into_another(stack: Stack, file: Path) -> None:
    await dead_letter(stack, *((TOPIC, payload) for payload in BYTES), ("other/ü", b"{}"))
    await dead_letters.succeeds(stack, "export", "--output", file)
    assert await succeeds(stack, file) == "9 messages imported\n"
    found = await streams.entries(stack)
    assert [fields[b"payload"] for fields in found] == [*BYTES, b"{}"]
    assert [fields[b"topic"].decode() for fields in found] == [TOPIC] * 8 + ["other/ü"]
    assert {fields[b"received_at"] for fields in found} == {b"1700000000000"}, "what dead_letter gives each"
    assert [[*fields][3:] for fields in found] == [[b"replayed", b"import_id"]] * 9
    assert len({fields[b"import_id"] for fields in found}) == 9


@pytest.mark.parametrize("is_packed", [False, True])
async def test_standard_input_and_gzip(stack: Stack, file: Path, is_packed: bool) -> None:
    sent = history(5)
    text = json_lines(sent).encode()
    content = gzip.compress(text) if is_packed else text
    assert await succeeds(stack, "-", given=content) == "5 messages imported\n"
    assert await entries(stack) == [(topic.encode(), payload) for topic, payload in sent]
    file.write_bytes(content)
    assert await succeeds(stack, file) == "0 messages imported; 5 were imported before: --restart imports them again\n"


async def test_each_goes_to_the_shard_of_its_device_in_order(stack: Stack, file: Path) -> None:
    sent = history(120, devices=20)
    file.write_text(json_lines(sent))
    await succeeds(stack, file, INGEST_SHARDS=3)
    for shard in range(3):
        theirs = [(topic.encode(), payload) for topic, payload in sent if shard_of(topic.encode(), 3) == shard]
        assert await entries(stack, shard) == theirs


async def test_a_line_that_is_no_message_stops_everything_unless_it_is_left_out(stack: Stack, file: Path) -> None:
    file.write_text(json_lines(history(2)) + '{"topic": "a"}\n' * 12 + json_lines(history(1)))
    done = await imports(stack, file)
    assert (done.exit_code, done.stdout) == (1, "")
    said = done.stderr.splitlines()
    assert said[0] == "history.jsonl:3: payload: missing"
    assert said[9:] == [
        "history.jsonl:12: payload: missing",
        "… 2 more",
        "nothing was imported: correct them, or leave them out with --skip-invalid",
    ]
    assert await appended(stack) == 0
    dry = await imports(stack, file, "--dry-run", "--json")
    assert (dry.exit_code, json.loads(dry.stdout)["counts"]) == (1, {"would be stored": 3, "can't be imported": 12})
    assert await succeeds(stack, file, "--skip-invalid") == "3 messages imported, 12 invalid\n"
    assert await appended(stack) == 3


async def test_a_dry_run_counts_outcomes_and_reasons_and_needs_no_redis(stack: Stack, file: Path) -> None:
    file.write_text(json_lines([*history(10), ("elsewhere", b"{}")]))
    said = await succeeds(stack, file, "--dry-run", REDIS_URL="redis://127.0.0.1:1/0")
    *reasons, last = said.splitlines()
    assert last == "dry run, nothing was imported: 8 would be stored, 3 would be dead-lettered"
    assert [line.partition(" (")[2] for line in reasons] == [
        "first: history.jsonl:5)",
        "first: history.jsonl:11)",
    ]
    assert reasons[0].startswith("2 would be dead-lettered: parse_error: ")
    assert reasons[1].startswith("1 would be dead-lettered: invalid_topic: ")
    assert (
        await succeeds(stack, file, "--dry-run", "--limit", 4) == "dry run, nothing was imported: 4 would be stored\n"
    )
    assert await appended(stack) == 0


async def test_a_second_import_changes_nothing_that_is_stored(stack: Stack, file: Path) -> None:
    file.write_text(json_lines(history(50)))
    await succeeds(stack, file)
    await drain(stack)
    tables = "ts_measure", "ingest_errors", "device"
    stored = [await stack.fetch(f"SELECT * FROM {table} ORDER BY 1, 2, 3, 4") for table in tables]
    assert [len(rows) for rows in stored] == [40, 10, 7]
    assert "50 messages imported\n" in await succeeds(stack, file, "--restart")
    await drain(stack)
    assert [await stack.fetch(f"SELECT * FROM {table} ORDER BY 1, 2, 3, 4") for table in tables] == stored
    shard = await read_snapshot(stack.clients, 0)
    assert (shard.missing, shard.in_stream) == (0, 0)
    letter = await stack.fetch("SELECT entry_id, received_at FROM ingest_errors ORDER BY id")
    assert letter[0]["entry_id"].startswith("import:")
    assert letter[0]["entry_id"].endswith(":5")
    assert letter[0]["received_at"] == received(4)


async def test_another_message_at_the_same_place_is_another_dead_letter(stack: Stack) -> None:
    for payload in (b"1", b"2", b"1"):
        await stack.append(TOPIC, payload, replayed=1, import_id="import:0123456789abcdef:5")
    await drain(stack)
    found = await stack.fetch("SELECT payload, entry_id FROM ingest_errors ORDER BY payload")
    assert [row["payload"] for row in found] == ["1", "2"]
    assert found[0]["entry_id"] == "import:0123456789abcdef:5"
    assert found[1]["entry_id"].startswith("import:0123456789abcdef:5#")


async def test_a_retained_message_with_the_same_bytes_is_a_dead_letter_already(stack: Stack) -> None:
    await stack.append(TOPIC, b"1", retained=1)
    await drain(stack)
    await stack.append(TOPIC, b"1", replayed=1, import_id="import:0123456789abcdef:5")
    await drain(stack)
    found = await stack.fetch("SELECT entry_id FROM ingest_errors ORDER BY id")
    assert [row["entry_id"].partition(":")[0] for row in found] == ["retained", "import"]


async def test_history_moves_no_device_back(stack: Stack, file: Path) -> None:
    now = round(datetime.now(UTC).timestamp() * 1000)
    await stack.append(*telem("dev0", second=10**6), received_at=now)
    await drain(stack)
    file.write_text(json_lines(history(14)))
    await succeeds(stack, file)
    await drain(stack)
    seen = {row["device_id"]: row["last_seen"] for row in await stack.fetch("SELECT device_id, last_seen FROM device")}
    assert round(seen["dev0"].timestamp() * 1000) == now
    assert (seen["dev1"], seen["dev5"]) == (received(8), received(12))


async def test_without_a_time_of_receipt_it_is_received_now(stack: Stack, file: Path) -> None:
    file.write_text('{"topic": "a", "payload": "x"}\n')
    before = int(datetime.now(UTC).timestamp() * 1000)
    await succeeds(stack, file)
    (found,) = await streams.entries(stack)
    assert int(found[b"received_at"]) >= before


async def test_no_faster_than_the_rate_and_no_more_than_the_limit(stack: Stack, file: Path) -> None:
    file.write_text(json_lines(history(50)))
    said = await succeeds(stack, file, "--rate", 50, "--limit", 40)
    assert said == "40 messages imported, 10 left: the same command, without --restart, goes on with them\n"
    found: Any = await stack.redis.xrange(key_of(0))
    first, *_, last = (int(id_.partition(b"-")[0]) for id_, _ in found)
    assert last - first >= 590, "batches of 10, 200 ms apart"
    assert json.loads(await succeeds(stack, file, "--json")) == {"imported": 10, "before": 40, "invalid": 0, "left": 0}


@pytest.mark.long
async def test_it_leaves_half_of_the_stream_to_the_devices(stack: Stack, file: Path, tmp_path: Path) -> None:
    file.write_text(json_lines(history(60)))
    async with watching(never_longer_than(stack, 20)):
        running = Import(stack, tmp_path / "log", file, INGEST_QUEUE_MAX=41)
        await eventually(lambda: "ingest:{0} holds 20 entries" in running.log)
        assert await stack.backlog() == 20
        await stack.writer()
        assert await running.ends() == 0
    assert running.log.count("waiting for the writers") == 1
    await stack.has_rows("ts_measure", 48)


async def test_three_at_once_import_each_message_once(stack: Stack, file: Path) -> None:
    sent = history(600)
    file.write_text(json_lines(sent))
    done = await asyncio.gather(*(stack.command("import", str(file), INGEST_SHARDS=3) for _ in range(3)))
    assert [one.returncode for one in done] == [0, 0, 0], [one.stderr for one in done]
    found = [message for shard in range(3) for message in await entries(stack, shard)]
    assert sorted(found) == sorted((topic.encode(), payload) for topic, payload in sent)


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 1), (3, 2)])
async def test_it_goes_on_with_another_number_of_shards(stack: Stack, file: Path, before: int, after: int) -> None:
    sent = [*history(30), *history(60, devices=1)]  # the last ones are all of one stream
    file.write_text(json_lines(sent))
    await succeeds(stack, file, "--limit", 50, "--rate", 100, INGEST_SHARDS=before)
    said = await succeeds(stack, file, INGEST_SHARDS=after)
    assert said.startswith("40 messages imported; 50 were imported before")
    found = [message for shard in range(3) for message in await entries(stack, shard)]
    assert sorted(found) == sorted((topic.encode(), payload) for topic, payload in sent)
    assert (await succeeds(stack, file, INGEST_SHARDS=after)).startswith("0 messages imported; 90 were")


async def test_what_a_failover_has_lost_is_appended_again(
    stack: Stack, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mark that is older than what was written goes with entries that are gone, too."""
    file.write_text(json_lines(history(30)))
    await succeeds(stack, file, "--limit", 10)
    older: Any = await stack.redis.hgetall(imports_of(0))
    run_script, calls = Destination.run_script, [0]

    async def losing(self: Destination, *arguments: Any) -> Any:
        calls[0] += 1
        if calls[0] == 2:
            redis = self.clients.of(key_of(0))
            last: Any = await redis.xrevrange(key_of(0), count=10)
            await redis.xdel(key_of(0), *(id_ for id_, _ in last))
            await redis.hset(imports_of(0), mapping=older)
        return await run_script(self, *arguments)

    monkeypatch.setattr(Destination, "run_script", losing)
    assert (await succeeds(stack, file, "--rate", 50)).startswith("20 messages imported")
    assert await entries(stack) == [(topic.encode(), payload) for topic, payload in history(30)]


async def test_what_is_appended_and_not_confirmed_is_not_appended_again(
    stack: Stack, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a replica confirms too late."""
    sent = history(60)
    file.write_text(json_lines(sent))
    calls = itertools.count(1)

    async def late(_barrier: object) -> None:
        if next(calls) in {2, 6, 9}:
            raise Unusable("no replica has confirmed it")

    monkeypatch.setattr("traksense_ingest.ops.appending.streams._confirmed", late)
    assert await succeeds(stack, file, "--rate", 100, INGEST_SHARDS=3) == "60 messages imported\n"
    found = [message for shard in range(3) for message in await entries(stack, shard)]
    assert sorted(found) == sorted((topic.encode(), payload) for topic, payload in sent)
    assert next(calls) > 9


async def test_a_receivers_redis_user_is_enough(stack: Stack, file: Path) -> None:
    file.write_text(json_lines(history(5)))
    await add_users(stack.redis)
    await succeeds(stack, file, REDIS_URL=as_user(stack, "receiver"), INGEST_SHARDS=2)
    assert await refusals(stack.redis) == []
    await acl(stack.redis, "receiver", "clearselectors")
    refused = await imports(stack, file, REDIS_URL=as_user(stack, "receiver"))
    assert (refused.exit_code, len(refused.stderr.splitlines())) == (2, 1)
    assert "HGET ingest:{0}:imports field, HSET ingest:{0}:imports field value" in refused.stderr
