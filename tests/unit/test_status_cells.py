"""Which variables count in `status --env FILE`."""

from __future__ import annotations

from pathlib import Path

import pytest

from traksense_ingest.ops.status.cells import load_file
from traksense_ingest.shared.errors import ConfigurationError


def test_a_file_says_more_than_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://everywhere:6379/0")
    monkeypatch.setenv("INGEST_SHARDS", "3")
    file = tmp_path / "cell.env"
    file.write_text("REDIS_URL=redis://here:6379/0\nINGEST_SHARDS=\nANOTHER=1\n")
    settings = load_file(str(file))
    assert (settings.redis_url, settings.ingest_shards) == ("redis://here:6379/0", 3)


def test_what_is_wrong_is_named_with_the_file(tmp_path: Path) -> None:
    file = tmp_path / "cell.env"
    file.write_text("REDIS_URL=here\nINGEST_SHARDS=many\n")
    with pytest.raises(ConfigurationError) as raised:
        load_file(str(file))
    lines = str(raised.value).splitlines()
    assert sorted(line.partition("=")[0] for line in lines) == [f"{file}: INGEST_SHARDS", f"{file}: REDIS_URL"]
    with pytest.raises(ConfigurationError, match="nowhere: no such file"):
        load_file(str(tmp_path / "nowhere"))
