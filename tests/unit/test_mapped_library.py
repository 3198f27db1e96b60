"""The tests inside each mapping file pass, and reach all of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import mapped
from traksense_ingest.shared.mapping.load import LIBRARY
from traksense_ingest.writer.decode.mapped.check import run_tests

FILES = [*mapped.all_files(), LIBRARY / "v1.yaml", LIBRARY / "v1-unknown.yaml"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_its_tests_pass(path: Path) -> None:
    mapping = mapped.file(path)
    first, last = mapped.version_1()
    among = mapped.mappings(*([] if mapping.name in (first.name, last.name) else [mapping]))
    report = run_tests(mapping, among)
    assert [(result.test.name, result.problems) for result in report.failed] == []
    assert len(report.results) == len(mapping.tests)
