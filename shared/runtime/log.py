"""Logging to stderr, as text for people or as JSON lines for machines.

A message says everything in words. What a machine filters or counts by is given once more as `extra`, under the names
that docs/operations.md lists, and becomes fields of the JSON object.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

_TEXT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"

# What `extra` may say; a test compares it with docs/operations.md.
FIELDS = (
    "component",
    "state",
    "sqlstate",
    "stream",
    "count",
    "seconds",
    "client_id",
    "filters",
    "mappings",
    "guarantee",
    "replicas",
    "variable",
    "task",
    "port",
    "user",
)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ts (RFC 3339, UTC), level, logger, message, those of FIELDS that the line has, and
    traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name in FIELDS if (value := getattr(record, name, None)) is not None}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def configure(level: str, fmt: str) -> None:
    """Send everything of `level` and above to stderr; fmt is `text` or `json`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if fmt == "json" else logging.Formatter(_TEXT))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("asyncpg").setLevel(logging.ERROR)  # its pool logs a traceback for each try of an outage
