"""`dlq export` and the options that choose dead letters, of a replay as of an export."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

from tests.support.dead_letters import BYTES, TOPIC, dead_letter, dlq, entries, in_process, succeeds
from tests.support.stack import Stack, telem
from traksense_ingest.shared.streams.keys import key_of


async def test_export_has_every_byte(stack: Stack, tmp_path: Path) -> None:
    await dead_letter(stack, *((TOPIC, payload) for payload in BYTES), ("other", b"x"))
    path = tmp_path / "out.jsonl"
    await succeeds(stack, "export", "--reason", "parse_error", "--output", path)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    exact = [row["payload"].encode() if "payload" in row else base64.b64decode(row["payload_base64"]) for row in rows]
    assert exact == BYTES
    assert {row["topic"] for row in rows} == {TOPIC}
    assert list(tmp_path.glob("*.part")) == []
    assert len((await succeeds(stack, "export")).splitlines()) == len(BYTES) + 1
    refused = await dlq(stack, "export", "--output", tmp_path / "absent" / "file")
    assert (refused.returncode, len(refused.stderr.splitlines())) == (1, 1)


async def test_an_export_into_a_pipe_or_a_link_leaves_it_what_it_is(stack: Stack, tmp_path: Path) -> None:
    await dead_letter(stack, (TOPIC, b"x"))
    pipe, link, file = tmp_path / "pipe", tmp_path / "link", tmp_path / "file"
    os.mkfifo(pipe)
    link.symlink_to(file)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    await succeeds(stack, "export", "--output", pipe)
    assert pipe.is_fifo()
    assert json.loads(os.read(reader, 65_536))["payload"] == "x"
    os.close(reader)
    await succeeds(stack, "export", "--output", link)
    assert link.is_symlink()
    assert json.loads(file.read_text())["payload"] == "x"


async def six_letters(stack: Stack) -> None:
    """Ids 1 to 6, of three tenants or none, three reasons, two days; two of them were replayed."""
    early = telem()[1].replace(b"2025", b"1999", 1)
    await dead_letter(
        stack,
        ("traksense/acme/s/d1/telem", b"1"),
        ("traksense/acme/s/d2/telem", b"2"),
        ("traksense/acme_/s/d3/telem", b"3"),
        ("traksense/acme/s/d4/telem", early),
        ("elsewhere", b"5"),
        ("traksense/other/s/d6/telem", b"6"),
    )
    await stack.execute("UPDATE ingest_errors SET ts = '2026-01-01T12:00:00Z' WHERE id IN (1, 6)")
    await stack.execute("UPDATE ingest_errors SET replayed_at = now() WHERE id IN (2, 6)")
    classes = [row["error_class"] for row in await stack.fetch("SELECT error_class FROM ingest_errors ORDER BY id")]
    assert classes == ["parse_error"] * 3 + ["out_of_range", "invalid_topic", "parse_error"]


SELECTORS: list[tuple[list[str], set[int]]] = [
    (["--tenant", "acme"], {1, 2, 4}),
    (["--reason", "parse_error"], {1, 2, 3, 6}),
    (["--reason", "out_of_range"], {4}),
    (["--since", "3d"], {2, 3, 4, 5}),
    (["--since", "2026-01-01T12:00:00Z", "--until", "2026-01-01T12:00:01Z"], {1, 6}),
    (["--until", "2026-01-01T12:00:00Z"], set()),
    (["--until", "3d"], {1, 6}),
    (["--tenant", "acme", "--reason", "parse_error"], {1, 2}),
    (["--tenant", "acme", "--reason", "parse_error", "--until", "3d"], {1}),
    (["--text", "ELSEwhere"], {5}),
    (["--text", "/acme"], {1, 2, 3, 4}),
    (["--text", "before"], {4}),
    (["--text", "_"], {1, 2, 3, 4, 5, 6}),
    (["--text", "acme%"], set()),
    (["--device", "d2"], {2}),
    (["--device", "d"], set()),
    (["--device", "elsewhere"], {5}),
    (["--device", "acme/d4"], {4}),
    (["--device", "other/d4"], set()),
    (["--device", "d1", "--tenant", "acme", "--text", "d1"], {1}),
]
REPLAYED = {2, 6}


async def test_each_selector_of_a_replay_takes_some_and_leaves_the_others(stack: Stack) -> None:
    await six_letters(stack)
    topics = {row["topic"].encode(): row["id"] for row in await stack.fetch("SELECT id, topic FROM ingest_errors")}

    async def replayed(*options: str) -> set[int]:
        """Which are in the stream then, and marked; and no others. All is as before then."""
        dry = json.loads((await in_process(stack, "replay", "--dry-run", "--json", *options)).stdout)
        shown = json.loads((await in_process(stack, "replay", "--json", *options)).stdout)
        ids = [topics[topic] for topic, _ in await entries(stack)]
        marked = await stack.fetch("SELECT id FROM ingest_errors WHERE replayed_at > '2026-01-02'")
        assert {row["id"] for row in marked} - REPLAYED == {*ids} - REPLAYED
        assert (shown["replayed"], [row["id"] for row in dry["rows"]]) == (len(ids), sorted(ids))
        await stack.redis.delete(key_of(0))
        await stack.execute("UPDATE ingest_errors SET replayed_at = NULL WHERE id NOT IN (2, 6)")
        return {*ids}

    for options, chosen in SELECTORS:
        assert await replayed(*options) == chosen - REPLAYED, options
    assert await replayed("--all") == {1, 3, 4, 5}
    assert await replayed("--tenant", "acme", "--again") == {1, 2, 4}
    assert await replayed("--all", "--again", "--from-id", "5") == {5, 6}
    assert await replayed("1", "3", "--tenant", "acme") == {1}


async def test_each_selector_of_an_export_takes_some_and_leaves_the_others(stack: Stack) -> None:
    await six_letters(stack)

    async def exported(*options: str) -> list[int]:
        lines = (await in_process(stack, "export", *options)).stdout.splitlines()
        return [json.loads(line)["id"] for line in lines]

    for options, chosen in SELECTORS:
        assert await exported(*options) == sorted(chosen), options
    assert await exported("--replayed") == [2, 6]
    assert await exported("--not-replayed") == [1, 3, 4, 5]
    assert await exported("--not-replayed", "--tenant", "acme") == [1, 4]
