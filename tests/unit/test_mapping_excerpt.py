"""The line of a file where a fault is."""

from __future__ import annotations

from pathlib import Path

import pytest

from traksense_ingest.ops.mapping.excerpt import excerpt
from traksense_ingest.shared.mapping.points import Place


def test_a_file_of_the_same_name_in_another_folder_is_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        Path("plant.yaml").write_text(f"name: {name}\n")
        assert next(excerpt(Place("plant.yaml", 1, 7), None)) == f"    1 | name: {name}"
