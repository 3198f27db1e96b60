"""The reference pages, docs/configuration.md, metrics.md, tables.md and commands.md, are the program's."""

from __future__ import annotations

import re
from pathlib import Path

from click.testing import CliRunner

from tests.support.handbook import DOCS
from traksense_ingest.ops.cli import main
from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.messages import IGNORED_REASONS
from traksense_ingest.shared.metrics import MESSAGE_TYPES, REASONS, Metrics, ReceiverMetrics, WriterMetrics

CONFIGURATION = (DOCS / "configuration.md").read_text()
METRICS = (DOCS / "metrics.md").read_text()
TABLES = (DOCS / "tables.md").read_text()
COMMANDS = (DOCS / "commands.md").read_text()
MIGRATIONS = "\n".join(path.read_text() for path in sorted((Path(__file__).parents[2] / "migrations").glob("*.sql")))


def helps(of: Metrics, service: str) -> dict[str, str]:
    """The sentence of each metric, and which service has it."""
    return {
        family.name + ("_total" if family.type == "counter" else ""): f"{family.documentation} ({service})"
        for family in of.registry.collect()
    }


def test_every_variable_is_there_with_what_is_allowed() -> None:
    documented = dict(re.findall(r"^\| `([A-Z][A-Z0-9_]+)` \| .*?(?:\| )?([^|]*) \|$", CONFIGURATION, re.MULTILINE))
    assert documented == {name.upper(): field.description for name, field in Settings.model_fields.items()}


def test_the_defaults_are_right() -> None:
    for name, field in Settings.model_fields.items():
        default = ",".join(field.default) if isinstance(field.default, tuple) else field.default
        if default not in (None, ""):
            assert re.search(rf"^\| `{name.upper()}` \| `{re.escape(str(default))}` \|", CONFIGURATION, re.MULTILINE), (
                name
            )


def test_every_metric_is_there_with_what_it_means() -> None:
    documented = dict(re.findall(r"^\| `(ingest_[a-z_]+)(?:\{[\w,]+\})?` \| (.*) \|$", METRICS, re.MULTILINE))
    assert documented == helps(ReceiverMetrics(), "receiver") | helps(WriterMetrics(), "writer") | {
        name: text.removesuffix(" (receiver)")
        for name, text in helps(ReceiverMetrics(), "receiver").items()
        if name in helps(WriterMetrics(), "writer")
    }


def test_every_reason_is_there() -> None:
    _, errors, ignored = re.split(r"^\| `reason` of `\w+` \|", METRICS, flags=re.MULTILINE)
    cells = re.findall(r"^\| (`[a-z].*?) \|", errors, re.MULTILINE)
    assert re.findall(r"`(\w+)`", " ".join(cells)) == list(REASONS)
    assert re.findall(r"^\| `(\w+)` \|", ignored, re.MULTILINE) == list(IGNORED_REASONS)


def test_every_kind_is_there() -> None:
    (kinds,) = re.findall(r"^`type` is (.*?), and for messages also (.*?):", METRICS, re.MULTILINE)
    assert tuple(re.findall(r"`(\w+)`", " ".join(kinds))) == MESSAGE_TYPES


def test_every_table_is_there_with_its_columns() -> None:
    created = dict(
        re.findall(
            r"^CREATE TABLE (?:IF NOT EXISTS public\.)?(\w+) \(\n(.*?)^\);", MIGRATIONS, re.MULTILINE | re.DOTALL
        )
    )
    rows, _, columns = TABLES.partition("## Columns")
    assert {*re.findall(r"^\| `(\w+)` \|", rows, re.MULTILINE)} == {*created, "schema_migrations"}
    described = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", columns, re.MULTILINE))
    assert described.keys() == created.keys() - {"stream_ledger"}
    for table, text in described.items():
        names = re.findall(r"^    ([a-z]\w+) +[a-z]", created[table], re.MULTILINE)
        names += re.findall(rf"^ALTER TABLE (?:public\.)?{table} ADD COLUMN (?:IF NOT EXISTS )?(\w+)", MIGRATIONS, re.M)
        assert set(re.findall(r"`(\w+)`", text)) == set(names), table


def test_every_command_is_there() -> None:
    assert set(re.findall(r"^\| `traksense-ingest (\w+)`", COMMANDS, re.MULTILINE)) == set(main.commands)


def test_each_command_explains_itself() -> None:
    for name in main.commands:
        result = CliRunner().invoke(main, [name, "--help"])
        assert result.exit_code == 0
        assert len(result.output.splitlines()) > 5
