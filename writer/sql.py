"""The statements of `queries.sql`, by name."""

from __future__ import annotations

import re
from importlib.resources import files

_statements = dict(
    re.findall(
        r"^-- name: (\w+)\n(.*?)(?=^-- name:|\Z)",
        (files("writer") / "queries.sql").read_text(),
        re.MULTILINE | re.DOTALL,
    )
)

UNSTORED_POINTS = _statements["unstored_points"]
CREATE_STAGING = _statements["create_staging"]
INSERT_STAGED = _statements["insert_staged"]
UPSERT_ACKS = _statements["upsert_acks"]
INSERT_EVENTS = _statements["insert_events"]
UPSERT_DEVICES = _statements["upsert_devices"]
WAITING_TRANSACTIONS = _statements["waiting_transactions"]
END_TRANSACTIONS = _statements["end_transactions"]
INSERT_DEAD_LETTERS = _statements["insert_dead_letters"]
OTHERS_WITH_THEIR_IDS = _statements["others_with_their_ids"]
