"""Every message of `tests/cases/shapes.jsonl`, formats of public devices, becomes exactly its rows."""

from __future__ import annotations

import json
from collections.abc import Mapping as Dict
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support import mapped
from traksense_ingest.shared.mapping.load import LIBRARY, load
from traksense_ingest.writer.decode.mapped.differences import differences, rows_of
from traksense_ingest.shared.mapping.expected import Message, Test
from traksense_ingest.writer.outcome import AckRow, Decoded, EventRow, Ignored, Outcome

SHAPES = [
    json.loads(line) for line in (Path(__file__).parents[1] / "cases" / "shapes.jsonl").read_text().splitlines()
]
COLUMNS = ("tenant", "site", "device", "point", "ts", "v_num", "v_bool", "v_text", "unit", "meta")
