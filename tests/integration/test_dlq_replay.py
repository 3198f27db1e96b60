"""`dlq replay` appends the exact bytes, once, to the shard of the device, as fast as it may."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.test_crash_points import drain
from tests.support.dead_letters import BYTES, TOPIC, dead_letter, dlq, entries, in_process, succeeds, unreplayed
from tests.support.redis_users import acl, add_users, as_user, refusals
from tests.support.stack import Stack
from traksense_ingest.ops.dlq.append import Streams
from traksense_ingest.shared.streams.keys import key_of, shard_of


async def test_a_replay_is_the_exact_bytes_once(stack: Stack) -> None:
    sent = [(TOPIC, payload) for payload in BYTES] + [("traksense/ü\\xe9\x01/s/d/telem", b"{}"), ("x" * 500, b"y")]
    sent += [(r"traksense/\x00\xff/s/d/telem", b"neither")]
    await dead_letter(stack, *sent)
    assert "11 messages replayed" in await succeeds(stack, "replay", "--all")
    assert await entries(stack) == [(topic.encode(), payload) for topic, payload in sent]
    assert await unreplayed(stack) == 0
    assert "0 messages replayed" in await succeeds(stack, "replay", "--all")
    again = await dlq(stack, "replay", 1, 2)
    assert (again.returncode, again.stderr.count("--again does it again")) == (0, 2)
    assert await stack.backlog() == len(sent)
    assert "2 messages replayed" in await succeeds(stack, "replay", 1, 2, "--again")
    assert await stack.backlog() == len(sent) + 2


async def test_each_goes_to_the_shard_of_its_device(stack: Stack) -> None:
    topics = [f"traksense/t/s/dev{number}/telem" for number in range(40)]
    await dead_letter(stack, *((topic, b"x") for topic in topics))
    await succeeds(stack, "replay", "--all", INGEST_SHARDS=3)
    for shard in range(3):
        found = [topic.decode() for topic, _ in await entries(stack, shard)]
        assert found == [topic for topic in topics if shard_of(topic.encode(), 3) == shard]


async def test_a_topic_of_unknown_bytes_is_reported_and_skipped(stack: Stack) -> None:
    await dead_letter(stack, (b"traksense/\xff/s/d/telem", b"x"), (TOPIC, b"y"), (rb"traksense/\x00/s/d/x", b"z"))
    await stack.redis.xadd(key_of(0), {"topic": TOPIC})
    await drain(stack)
    done = await dlq(stack, "replay", "--all")
    assert (done.returncode, done.stdout) == (0, "1 message replayed, 3 can't be\n")
    assert [line.split(":")[:2] for line in done.stderr.splitlines() if "not replayed" in line] == [
        ["1", " not replayed"],
        ["3", " not replayed"],
        ["4", " not replayed"],
    ]
    assert await entries(stack) == [(TOPIC.encode(), b"y")]
    assert (await dlq(stack, "replay", 1)).returncode == 1
    missing = await dlq(stack, "replay", 99)
    assert (missing.returncode, "99: there is no such" in missing.stderr) == (1, True)


async def test_what_is_rejected_again_is_a_new_dead_letter_and_the_replay_ends(stack: Stack) -> None:
    await dead_letter(stack, *((TOPIC, b"%d" % number) for number in range(300)))
    process = await stack.writer()
    await succeeds(stack, "replay", "--all", "--rate", 2000)
    await stack.has_rows("ingest_errors", 600)
    assert await unreplayed(stack) == 300
    assert process.stop() == 0


async def test_no_faster_than_the_rate(stack: Stack) -> None:
    await dead_letter(stack, *((TOPIC, b"%d" % number) for number in range(50)))
    await succeeds(stack, "replay", "--all", "--rate", 50)
    found: Any = await stack.redis.xrange(key_of(0))
    first, *_, last = (int(id_.partition(b"-")[0]) for id_, _ in found)
    assert last - first >= 790, "batches of 10, 200 ms apart"


async def test_a_limit_and_again_from_an_id_on(stack: Stack) -> None:
    await dead_letter(stack, *((TOPIC, b"%d" % number) for number in range(5)))
    assert "2 messages replayed, 3 left" in await succeeds(stack, "replay", "--all", "--limit", 2)
    output = await succeeds(stack, "replay", "--all", "--again", "--limit", 3)
    assert "the same command with --from-id 4" in output
    await succeeds(stack, "replay", "--all", "--again", "--from-id", 4)
    assert [payload for _, payload in await entries(stack)] == [b"0", b"1", b"0", b"1", b"2", b"3", b"4"]


async def test_large_payloads_go_a_few_at_a_time(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = [(TOPIC, b"%d" % number * 1_000_000) for number in range(6)]
    await dead_letter(stack, *sent)
    monkeypatch.setattr("traksense_ingest.ops.dlq.replayer.BATCH_BYTES", 2_500_000)
    sizes: list[int] = []
    append = Streams.append

    async def counting(self: Streams, letters: Any) -> Any:
        sizes.append(len(letters))
        return await append(self, letters)

    monkeypatch.setattr(Streams, "append", counting)
    assert (await in_process(stack, "replay", "--all")).exit_code == 0
    assert sizes == [2, 2, 2, 0]
    assert [payload for _, payload in await entries(stack)] == [payload for _, payload in sent]


async def test_a_receivers_redis_user_is_enough(stack: Stack) -> None:
    await dead_letter(stack, (TOPIC, b"x"))
    await add_users(stack.redis)
    await succeeds(stack, "replay", "--all", REDIS_URL=as_user(stack, "receiver"))
    assert await refusals(stack.redis) == []
    await acl(stack.redis, "receiver", "-xadd")
    refused = await dlq(stack, "replay", "--all", "--again", REDIS_URL=as_user(stack, "receiver"))
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
    assert refused.stderr.startswith("REDIS_URL=redis://receiver:***@")
    assert "XADD" in refused.stderr
