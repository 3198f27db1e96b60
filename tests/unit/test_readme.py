"""The README's tables are the program's."""

from __future__ import annotations

import re
from pathlib import Path

from click.testing import CliRunner

from ops.cli import main
from shared.config import Settings
from shared.metrics import ReceiverMetrics, WriterMetrics

README = (Path(__file__).parents[2] / "README.md").read_text()
METRICS = README.partition("## Metrics")[2].partition("## Tables")[0]


def rows(pattern: str) -> dict[str, str]:
    return dict(re.findall(rf"^\| `({pattern})` \| .*?(?:\| )?([^|]*) \|$", README, re.MULTILINE))


def test_every_variable_is_there_with_what_is_allowed() -> None:
    documented = rows(r"[A-Z][A-Z0-9_]+")
    assert documented == {name.upper(): field.description for name, field in Settings.model_fields.items()}


def test_the_defaults_are_right() -> None:
    for name, field in Settings.model_fields.items():
        default = ",".join(field.default) if isinstance(field.default, tuple) else field.default
        if default not in (None, ""):
            assert re.search(rf"^\| `{name.upper()}` \| `{re.escape(str(default))}` \|", README, re.MULTILINE), name


def test_every_metric_is_there() -> None:
    documented = set(re.findall(r"^\| `(ingest_[a-z_]+)(?:\{\w+\})?` \|", METRICS, re.MULTILINE))
    families = [*ReceiverMetrics().registry.collect(), *WriterMetrics().registry.collect()]
    assert documented == {family.name + ("_total" if family.type == "counter" else "") for family in families}


def test_every_command_is_there() -> None:
    documented = set(re.findall(r"^\| `traksense-ingest (\w+)`", README, re.MULTILINE))
    assert documented == set(main.commands)


def test_each_command_explains_itself() -> None:
    for name in main.commands:
        result = CliRunner().invoke(main, [name, "--help"])
        assert result.exit_code == 0
        assert len(result.output.splitlines()) > 5
