"""`dlq list`, `show` and `purge` on a real table: what is counted, shown and deleted."""

from __future__ import annotations

import base64
import json

from tests.support.dead_letters import TOPIC, dead_letter, dlq, succeeds, unreplayed
from tests.support.stack import Stack, telem


async def test_list_counts_by_reason_and_shows_the_newest_first(stack: Stack) -> None:
    await dead_letter(
        stack, (TOPIC, b"x"), ("traksense/other/s/d/telem", b"y"), ("traksense/t", b"z"), (TOPIC, b"\x1b[")
    )
    await stack.execute("UPDATE ingest_errors SET ts = now() - interval '2 days' WHERE id = 1")
    output = await succeeds(stack, "list")
    counts, _, rows = output.partition("\n\n")
    assert max(map(len, counts.splitlines())) <= 80
    assert [line.split()[:3] for line in counts.splitlines()[1:]] == [
        ["parse_error", "3", "0"],
        ["invalid_topic", "1", "0"],
        ["all", "4", "0"],
    ]
    assert [row.split("\t")[0] for row in rows.splitlines()] == ["4", "3", "2", "1"]
    assert rows.splitlines()[2].split("\t")[2:4] == ["other", "traksense/other/s/d/telem"]

    async def ids(*options: str) -> list[int]:
        return [row["id"] for row in json.loads(await succeeds(stack, "list", "--json", *options))["rows"]]

    assert await ids("--tenant", "other") == [2]
    assert await ids("--reason", "invalid_topic") == [3]
    assert await ids("--since", "1d") == [4, 3, 2]
    assert await ids("--until", "1d") == [1]
    assert await ids("--limit", "2") == [4, 3]
    assert await ids("--replayed") == []
    await stack.execute("UPDATE ingest_errors SET replayed_at = now() WHERE id IN (1, 3)")
    assert await ids("--replayed") == [3, 1]
    assert await ids("--not-replayed") == [4, 2]
    assert json.loads(await succeeds(stack, "list", "--json"))["counts"][0]["rows"] == 3


async def test_a_topic_can_not_move_the_cursor(stack: Stack) -> None:
    await dead_letter(stack, ("traksense/\x1b[2J\t/s/d/telem", b"\x1b[31m"))
    for output in (await succeeds(stack, "list"), await succeeds(stack, "show", 1)):
        assert "\x1b" not in output
        assert r"\x1b[2J\t" in output


async def test_show_points_at_the_place(stack: Stack) -> None:
    wrong = json.loads(telem(points=3)[1])
    wrong["points"][1]["v"] = "warm"
    await dead_letter(
        stack,
        (TOPIC, json.dumps(wrong).encode()),
        (TOPIC, b'{"schema": "v1",\n "ts": oops}'),
        (TOPIC, b"x" * 300 + b"\xff" + b"y" * 1000),
    )
    output = await succeeds(stack, "show", 1)
    (pointed,) = [line for line in output.splitlines() if "◀" in line]
    assert pointed.strip() == '"v": "warm"   ◀ here: points.1.v: Input should be a valid number'
    assert "00000000: 7b22 7363 6865 6d61" in output
    lines = (await succeeds(stack, "show", 2)).splitlines()
    caret = next(place for place, line in enumerate(lines) if line.endswith("^ here"))
    assert lines[caret - 1][lines[caret].index("^") :].startswith("oops")
    output = await succeeds(stack, "show", 3)
    assert "◀ byte 300" in output
    assert "bytes more: --full" in output
    full = await succeeds(stack, "show", 3, "--full")
    assert "--full" not in full
    assert len(full) > 2 * 1301
    shown = json.loads(await succeeds(stack, "show", 3, "--json"))
    assert base64.b64decode(shown["payload_base64"]) == b"x" * 300 + b"\xff" + b"y" * 1000
    absent = await dlq(stack, "show", 99)
    assert absent.returncode == 1
    assert absent.stderr == "99: there is no such dead letter; `traksense-ingest dlq list` has the ids\n"


async def test_purge_counts_asks_and_deletes_what_is_old(stack: Stack) -> None:
    await dead_letter(stack, *((TOPIC, b"%d" % number) for number in range(30)))
    await stack.execute("UPDATE ingest_errors SET ts = ts - interval '31 days' WHERE id <= 20")
    await stack.execute("UPDATE ingest_errors SET replayed_at = now() WHERE id <= 5")
    asked = await dlq(stack, "purge", "--older-than", "30d")
    assert asked.returncode == 1
    assert "20" in asked.stdout
    assert await stack.count("ingest_errors") == 30, "nobody has confirmed it"
    assert "5 rows deleted" in await succeeds(stack, "purge", "--older-than", "30d", "--replayed", "--yes")
    assert "no dead letters" in await succeeds(stack, "purge", "--older-than", "30d", "--tenant", "other", "--yes")
    assert "15 rows deleted" in await succeeds(stack, "purge", "--older-than", "4w", "--reason", "parse_error", "--yes")
    assert [row["id"] for row in await stack.fetch("SELECT id FROM ingest_errors ORDER BY id")] == [*range(21, 31)]


async def test_what_is_wrong_is_one_line(stack: Stack) -> None:
    await dead_letter(stack, (TOPIC, b"x"))
    await stack.execute("ALTER ROLE traksense_writer LOGIN PASSWORD 'secret'")
    as_writer = f"postgresql://traksense_writer:secret@{stack.database_url.partition('@')[2]}"
    assert (await dlq(stack, "list", DATABASE_URL=as_writer)).returncode == 0
    refused = await dlq(stack, "replay", "--all", DATABASE_URL=as_writer)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
    assert "connect as the tables' owner" in refused.stderr
    assert "secret" not in refused.stderr
    assert await stack.backlog() == 0
    await stack.execute("CREATE ROLE dlq_viewer LOGIN PASSWORD 'secret'")
    await stack.execute("GRANT SELECT ON ingest_errors TO dlq_viewer")
    unseeing = await dlq(stack, "list", DATABASE_URL=as_writer.replace("traksense_writer", "dlq_viewer"))
    assert (unseeing.returncode, len(unseeing.stderr.splitlines())) == (2, 1)
    assert "the role dlq_viewer is under row level security" in unseeing.stderr
    nowhere = stack.database_url.rpartition("/")[0] + "/nowhere"
    for command in (["list"], ["show", 1], ["replay", "--all"], ["purge", "--older-than", "1d"], ["export"]):
        done = await dlq(stack, *command, DATABASE_URL=nowhere)
        assert (done.returncode, len(done.stderr.splitlines()), done.stdout) == (2, 1, ""), done
        assert done.stderr.startswith("DATABASE_URL=")
    stack.redis_server.stop()
    done = await dlq(stack, "replay", "--all")
    assert (done.returncode, len(done.stderr.splitlines()), done.stdout) == (1, 1, "")
    assert done.stderr.startswith("REDIS_URL=redis://127.0.0.1:")
    assert await unreplayed(stack) == 1
