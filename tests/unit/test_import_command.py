"""The options of `import`, what is left to import, and how statements are filled in; no server is needed."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from traksense_ingest.ops.cli import main
from traksense_ingest.ops.imports.destination import Mark
from traksense_ingest.ops.imports.importer import Stretch, stretches
from traksense_ingest.ops.imports.table import filled


def run(*words: str) -> Result:
    variables = {"DATABASE_URL": "postgresql://127.0.0.1:1/x", "REDIS_URL": "redis://127.0.0.1:1/0"}
    return CliRunner(env=variables).invoke(main, ["import", *words])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "which messages? FILE or --table"),
        (["a", "--table", "b"], "one is enough"),
        (["a", "--key", "id"], "--key: only with --table"),
        (["a", "--database-url", "x"], "--database-url: only with --table"),
        (["a", "--rate", "0"], "--rate"),
        (["a", "--limit", "0"], "--limit"),
        (["absent.jsonl"], "absent.jsonl: can't be read: No such file or directory"),
        (["a", "b"], "unexpected extra argument"),
    ],
)
def test_a_bad_option_is_one_line_and_exit_code_2(words: list[str], message: str) -> None:
    result = run(*words)
    assert (result.exit_code, result.stderr.count("\n"), result.stdout) == (2, 1, "")
    assert message in result.stderr


def test_an_unreachable_server_is_one_line_and_exit_code_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("traksense_ingest.ops.appending.streams.FAILOVER_S", 0)
    file = tmp_path / "history.jsonl"
    file.write_text('{"topic": "a", "payload": "x"}')
    for words, start in (
        ([str(file)], "REDIS_URL=redis://127.0.0.1:1/0: "),
        (["--table", "t"], "DATABASE_URL=postgresql:"),
    ):
        result = run(*words)
        assert (result.exit_code, result.stderr.count("\n"), result.stdout) == (1, 1, "")
        assert result.stderr.startswith(start)


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    assert (run(str(tmp_path)).exit_code, run(str(tmp_path)).stdout) == (2, "")


def marks(*positions: str) -> dict[int, Mark]:
    return {shard: Mark(0, position) for shard, position in enumerate(positions)}


@pytest.mark.parametrize(
    ("found", "order", "expected"),
    [
        (marks(""), [""], [Stretch("", "90", frozenset())]),
        (marks("5", "5"), ["5"], [Stretch("5", "90", frozenset())]),
        (marks("5", "7"), ["5", "7"], [Stretch("5", "7", frozenset({1})), Stretch("7", "90", frozenset())]),
        (
            marks("7", "", "9", "7"),
            ["", "7", "9"],
            [
                Stretch("", "7", frozenset({0, 2, 3})),
                Stretch("7", "9", frozenset({2})),
                Stretch("9", "90", frozenset()),
            ],
        ),
    ],
)
def test_each_stream_gets_what_is_behind_its_own_mark(
    found: dict[int, Mark], order: list[str], expected: list[Stretch]
) -> None:
    assert stretches(found, order, "90") == expected


def test_a_name_with_braces_stays_as_it_is() -> None:
    parts = {"table": '"{key}"', "key": '"{invalid}"', "invalid": "{key} IS NULL"}
    assert filled("SELECT {invalid} FROM {table}", parts) == 'SELECT "{invalid}" IS NULL FROM "{key}"'
