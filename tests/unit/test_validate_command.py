"""The command, without a pipeline that it could check."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from traksense_ingest.ops.cli import main
from traksense_ingest.ops.validate.command import validate
from traksense_ingest.ops.validate.probe import Problem
from traksense_ingest.ops.validate.run import why_not_tried

NOWHERE = {
    "MQTT_URL": "mqtt://user:secret@127.0.0.1:1",
    "DATABASE_URL": "postgresql://user:secret@127.0.0.1:1/none",
}
BROKER = Problem(1, "no connection to mqtt://…", "no broker")
SILENCE = Problem(2, "", "no message arrives")


@pytest.fixture
def runner() -> CliRunner:
    return CliRunner(env=NOWHERE)


def test_every_check_fails_with_one_line_and_no_password(runner: CliRunner) -> None:
    result = runner.invoke(validate, ["--timeout", "1"])
    lines = result.stdout.splitlines()
    assert result.exit_code == 1
    assert lines[0].startswith("CHECK 1: MQTT connectivity      [FAIL] no connection to mqtt://user:***@127.0.0.1:1: ")
    assert lines[1].startswith("CHECK 2: Persistence            [FAIL] no connection to postgresql://user:***@127.0")
    assert lines[2:] == [
        "CHECK 3: Dead letter queue      [FAIL] not tried: no broker, no database",
        "CHECK 4: Throughput             [FAIL] not tried: no broker, no database",
        "CHECK 5: Latency                [FAIL] not tried: no broker, no database",
        "5 OF 5 CHECKS FAILED",
    ]
    assert "secret" not in result.output


def test_json_is_the_only_output(runner: CliRunner) -> None:
    result = runner.invoke(validate, ["--json"])
    report = json.loads(result.stdout)
    assert result.exit_code == 1
    assert report["passed"] is False
    assert [check["number"] for check in report["checks"]] == [1, 2, 3, 4, 5]
    assert report["left_behind"] is None


def test_a_wrong_variable_is_named_with_exit_code_2(runner: CliRunner) -> None:
    result = runner.invoke(main, ["validate"], env={**NOWHERE, "MQTT_QOS": "7"})
    assert result.exit_code == 2
    assert result.stderr.startswith("MQTT_QOS='7' is not allowed; allowed: ")
    assert result.stdout == ""


@pytest.mark.parametrize("option", [["--points", "0"], ["--timeout", "0"], ["--writer-metrics", "localhost:9101"]])
def test_a_wrong_option_is_refused(runner: CliRunner, option: list[str]) -> None:
    assert runner.invoke(validate, option).exit_code == 2


def test_help_has_an_example(runner: CliRunner) -> None:
    assert "traksense-ingest validate --min-rate" in runner.invoke(validate, ["--help"]).output


@pytest.mark.parametrize(
    ("number", "problems", "reason"),
    [
        (1, [], None),
        (1, [BROKER], BROKER.detail),
        (2, [BROKER], "not tried: no broker"),
        (3, [SILENCE], "not tried: no message arrives"),
        (5, [BROKER, SILENCE], "not tried: no broker, no message arrives"),
    ],
)
def test_a_problem_is_reported_once_in_full(number: int, problems: list[Problem], reason: str | None) -> None:
    assert why_not_tried(number, problems) == reason
