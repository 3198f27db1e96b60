"""The options of `dlq` and its messages, its list, and what can be replayed how fast; no server is needed."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from tests.support.dead_letters import TIME, letter
from traksense_ingest.ops.appending.pace import Pace
from traksense_ingest.ops.cli import main
from traksense_ingest.ops.dlq import listing
from traksense_ingest.ops.dlq.options import duration


@pytest.mark.parametrize(
    ("text", "given_"),
    [
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("12h", timedelta(hours=12)),
        ("30d", timedelta(days=30)),
        ("4w", timedelta(weeks=4)),
        ("0s", timedelta()),
    ],
)
def test_durations(text: str, given_: timedelta) -> None:
    assert duration(text) == given_


@pytest.mark.parametrize(
    "text", ["", "30", "d", "-1d", "1.5h", "1d2h", "1 d", "1y", "٣d", "999999999w", "9" * 5000 + "s"]
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration|hundred years"):
        duration(text)


@pytest.mark.parametrize(
    ("reason", "topic", "is_exact"),
    [
        ("parse_error: ts: wrong", r"traksense/\xff/s/d/telem", True),
        ("parse_error: ts: wrong", "traksense/t/s/d/telem", True),
        ("invalid_topic: topic: should be other", r"a\xff", True),
        ("invalid_topic: topic: should be other", r"a\x00", False),
        ("invalid_topic: topic: not UTF-8 at byte 3", r"abc\xff", False),
        ("invalid_topic: topic: the entry has no such field", "", False),
        ("parse_error: payload: the entry has no such field", "traksense/t/s/d/telem", False),
        ("max_deliveries: 5: a bug", r"traksense/t\xff/s/d/telem", False),
        ("max_deliveries: 5: a bug", "traksense/t/s/d/telem", True),
    ],
)
def test_which_letters_can_be_replayed_exactly(reason: str, topic: str, is_exact: bool) -> None:
    assert (letter(b"x", reason, topic).replay_blocker is None) == is_exact


def test_the_pace() -> None:
    pace = Pace(50, room=1000)
    assert (pace.batch, pace.delay(7.0)) == (10, 0)
    pace.sent(10, 7.0)
    assert pace.delay(7.0) == pytest.approx(0.2)
    pace.sent(10, 7.2)
    assert pace.delay(7.2) == pytest.approx(0.2)
    pace.sent(10, 100.0)
    assert pace.delay(100.0) == pytest.approx(0.2), "no credit for the time before"
    assert [Pace(rate, 1000).batch for rate in (0.1, 4, 5000)] == [1, 1, 100]
    assert Pace(5000, 3).batch == 3


@pytest.mark.parametrize("width", [60, 80])
def test_a_list_fits_a_terminal(width: int) -> None:
    row = {
        "id": 123456,
        "ts": TIME,
        "tenant_id": "acme",
        "topic": "traksense/acme/" + "x" * 100,
        "reason": "parse_error: [red]points[/red].1.v: " + "wrong " * 20,
        "replayed_at": None,
    }
    counts = [{"error_class": "parse_error", "rows": 2, "replayed": 0, "latest": TIME}]
    out = StringIO()
    listing.show(Console(file=out, width=width, force_terminal=True, color_system=None), counts, [row, row])
    assert max(map(len, out.getvalue().splitlines())) <= width
    assert "[red]points[/red]" in out.getvalue()


def run(*arguments: str) -> Result:
    return CliRunner(env={"DATABASE_URL": "postgresql://127.0.0.1:1/x"}).invoke(main, ["dlq", *arguments])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["replay"], "--all"),
        (["replay", "--from-id", "5"], "which?"),
        (["replay", "--all", "5"], "not together"),
        (["replay", "--all", "--tenant", "t"], "not together"),
        (["replay", "0"], "ID"),
        (["replay", str(2**63)], "ID"),
        (["replay", "--all", "--rate", "0"], "--rate"),
        (["replay", "--all", "--limit", "0"], "--limit"),
        (["list", "--reason", "wrong"], "--reason"),
        (["list", "--since", "yesterday"], "--since"),
        (["list", "--until", "2025-10-07T15:30:00"], "no Z or offset"),
        (["purge"], "--older-than"),
        (["purge", "--older-than", "30"], "no duration"),
        (["show", "x"], "ID"),
        (["wrong"], "wrong"),
    ],
)
def test_a_bad_option_is_one_line_and_exit_code_2(arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stderr.count("\n"), result.stdout) == (2, 1, "")
    assert message in result.stderr


def test_an_unreachable_database_is_one_line_and_exit_code_1() -> None:
    result = run("list")
    assert (result.exit_code, result.stderr.count("\n"), result.stdout) == (1, 1, "")
    assert result.stderr.startswith("DATABASE_URL=postgresql://127.0.0.1:1/x: ")
    assert result.stderr.endswith("; start it, or fix DATABASE_URL\n")


@pytest.mark.parametrize("command", ["list", "show", "replay", "purge", "export"])
def test_help_teaches_by_example(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"traksense-ingest dlq {command}" in result.output
