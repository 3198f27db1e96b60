"""The statements of `validate`. Each names its tenant, and a time or id to start from, so that an index is used."""

from __future__ import annotations

TABLES = (
    "ts_measure",
    "cmd_ack",
    "command",
    "device_event",
    "device",
    "device_point",
    "ingest_errors",
    "sparkplug_birth",
)  # all that have a tenant_id

LAST_ERROR_ID = "SELECT coalesce(max(id), 0) FROM ingest_errors"

COUNT_ROWS = "SELECT count(*) FROM ts_measure WHERE tenant_id = $1 AND device_id = $2 AND ts >= $3"

ROWS = """
SELECT ts, point_id, v_num, v_bool, v_text FROM ts_measure
WHERE tenant_id = $1 AND device_id = $2 AND ts >= $3
"""

ARRIVED_SINCE = """
SELECT ts FROM ts_measure WHERE tenant_id = $1 AND device_id = $2 AND point_id = $3 AND ts >= $4
"""

DEAD_LETTERS = """
SELECT reason, error_class, coalesce(payload_raw, convert_to(payload, 'UTF8')) AS payload FROM ingest_errors
WHERE id > $2 AND tenant_id = $1 AND topic = $3 ORDER BY id
"""

# No two messages of a run share device and ts, or topic and payload.
COUNT_MESSAGES = """
SELECT (SELECT count(DISTINCT (device_id, ts)) FROM ts_measure WHERE tenant_id = $1 AND ts >= $2)
     + (SELECT count(DISTINCT (topic, payload)) FROM ingest_errors WHERE id > $3 AND tenant_id = $1)
"""

REASONS = """
SELECT reason, count(*) FROM ingest_errors WHERE id > $2 AND tenant_id = $1 AND topic <> $3
GROUP BY reason ORDER BY count(*) DESC LIMIT 3
"""


def removals(tenant: str) -> list[str]:
    """The statements that remove a tenant, complete, to be pasted where the program can't run them itself."""
    quoted = tenant.replace("'", "''")
    return [f"DELETE FROM {table} WHERE tenant_id = '{quoted}'" for table in TABLES]  # noqa: S608
