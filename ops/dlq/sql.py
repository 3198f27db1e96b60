"""The statements of `queries.sql`, by name."""

from __future__ import annotations

import re
from importlib.resources import files

_statements = dict(
    re.findall(
        r"^-- name: (\w+)\n(.*?)(?=^-- name:|\Z)",
        (files("ops.dlq") / "queries.sql").read_text(),
        re.MULTILINE | re.DOTALL,
    )
)


def _statement(name: str) -> str:
    statement: str = _statements[name]
    return statement.replace("{selected}", _statements["selected"])


COUNT = _statement("count")
LIST = _statement("list")
LETTERS = _statement("letters")
NOW = _statement("now")
COUNT_DUE = _statement("count_due")
DUE = _statement("due")
TAKE = _statement("take")
MARK = _statement("mark")
PURGE = _statement("purge")
