"""The statements of a `queries.sql`, each under a line `-- name: …`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files


@cache
def statements(package: str) -> Mapping[str, str]:
    """What the package's `queries.sql` holds, by name, with its comments."""
    text = (files(package) / "queries.sql").read_text()
    return dict(re.findall(r"^-- name: (\w+)\n(.*?)(?=^-- name:|\Z)", text, re.MULTILINE | re.DOTALL))
