"""What a console shows, in the tables: dead letters, devices with their points and events, and actions of users.

Each row has the columns that a writer or a console fills, and the rows of a table are inserted in the order of time.
"""

from __future__ import annotations

from typing import NamedTuple

from bench.shape import Shape
from bench.stage import Stage

WITH_ROWS = "device0"  # has a reading each ten seconds of the last day, each other device one

# As a writer says them; %s differs from one to the next.
REASONS = (
    "parse_error: points.%s.v: Input should be a valid number",
    "parse_error: points.%s.v: Input should be a finite number",
    "parse_error: points.%s.name: Field required",
    "parse_error: ts: Input should be an RFC 3339 timestamp with Z or an offset, as 2025-10-07T15:30:00Z",
    "parse_error: payload: not UTF-8 at byte %s",
    "parse_error: payload: Invalid JSON: key must be a string at line 1 column %s",
    "parse_error: schema: missing, and no vendor format recognises the payload",
    "out_of_range: ts: 2029-11-30T09:00:%s+00:00 is more than 86400 s ahead of now",
    "max_deliveries: entry: %s tries, the last: DataError: value out of range",
)
RARE = "parse_error: payload: Invalid JSON: expected value at line 1 column 1; it looks like plain text"

# Of the last week and of all devices in turn; the first one is alone in its group; one of three was replayed.
_DEAD_LETTERS = """
INSERT INTO ingest_errors (
    ts, tenant_id, topic, payload, reason, error_class, stream, entry_id, deliveries, received_at, replayed_at
)
SELECT at, tenant, 'traksense/' || tenant || '/bench/device' || device || '/telem', $3, said,
    split_part(said, ':', 1), 'ingest:{0}', number || '-0', 1, at, CASE WHEN number % 3 = 0 THEN now() END
FROM generate_series(0, $1::int - 1) AS number
CROSS JOIN LATERAL (
    SELECT now() - interval '7 days' * (($1 - number)::float8 / $1), number % $2::int,
        CASE number WHEN 0 THEN $5
            ELSE replace(($4::text[])[1 + number % cardinality($4::text[])], '%s', number::text) END
) AS letter (at, device, said)
CROSS JOIN LATERAL (SELECT 'tenant' || device % 20) AS owner (tenant)
"""
# Of a hundred, one is silent for a day, two are late, and one has a wrong clock.
_DEVICES = """
INSERT INTO device (
    tenant_id, device_id, site_id, first_seen, last_seen, last_reading, interval_s, interval_gaps, skew_s, online_since
)
SELECT 'tenant' || number % 20, 'device' || number, 'bench', now() - interval '7 days', seen, seen, 60, 8,
    CASE WHEN number % 100 = 4 THEN 3600 ELSE 0.2 END, now() - interval '7 days'
FROM generate_series(0, $1::int - 1) AS number
CROSS JOIN LATERAL (
    SELECT now() - CASE number % 100 WHEN 1 THEN interval '1 day' WHEN 2 THEN interval '4 min'
        WHEN 3 THEN interval '4 min' ELSE interval '10 s' END
) AS latest (seen)
"""
_POINTS = """
INSERT INTO device_point (tenant_id, device_id, point_id, unit, first_seen)
SELECT tenant_id, device_id, 'p' || point, '°C', first_seen FROM device CROSS JOIN generate_series(0, 9) AS point
"""
_ROWS = """
INSERT INTO ts_measure (tenant_id, device_id, point_id, ts, v_num, unit)
SELECT tenant_id, device_id, point_id, last_reading - interval '10 s' * moment, sin(moment / 1000.0), unit
FROM device JOIN device_point USING (tenant_id, device_id)
CROSS JOIN LATERAL generate_series(CASE device_id WHEN $2 THEN $1::int - 1 ELSE 0 END, 0, -1) AS moment
"""
# Each device has connected once a day.
_EVENTS = """
INSERT INTO device_event (tenant_id, device_id, event_id, event_type, ts, data, created_at)
SELECT tenant_id, device_id, 'e' || day, 'state', at, '{"online": true}', at
FROM device CROSS JOIN generate_series(7, 1, -1) AS day
CROSS JOIN LATERAL (SELECT last_seen - interval '1 day' * day) AS connected (at)
"""
# A replay, then logins.
_ACTIONS = """
INSERT INTO console_action (started_at, seen_at, ended_at, user_name, role, action, scope, asked, outcome)
SELECT at, at, at, 'ana', 'operator', CASE number WHEN 1 THEN 'replay' ELSE 'login' END,
    CASE number WHEN 1 THEN '{"selection": {}, "before": null, "rate": 100}'::jsonb END,
    CASE number WHEN 1 THEN 0 END, 'done'
FROM generate_series(1, $1::int) AS number
CROSS JOIN LATERAL (SELECT now() - interval '1 minute' * ($1 - number)) AS moment (at)
"""
_VACUUM = "VACUUM ANALYZE ingest_errors, device, device_point, ts_measure, device_event, console_action"


class Inventory(NamedTuple):
    """How much there is."""

    dead_letters: int
    devices: int
    rows: int  # of each point of the device that has many
    actions: int
    entries: int  # in the first stream, which no writer reads

    async def fill(self, stage: Stage) -> None:
        """Insert it into empty tables, and vacuum them, as PostgreSQL does by itself after a while."""
        payload = Shape(1).message(0).payload.decode()
        await stage.database.execute(_DEAD_LETTERS, self.dead_letters, self.devices, payload, REASONS, RARE)
        await stage.database.execute(_DEVICES, self.devices)
        await stage.database.execute(_POINTS)
        await stage.database.execute(_ROWS, self.rows, WITH_ROWS)
        await stage.database.execute(_EVENTS)
        await stage.database.execute(_ACTIONS, self.actions)
        await stage.database.execute(_VACUUM)
        await stage.fill(Shape(self.entries))


async def dead_letter_ids(stage: Stage) -> tuple[int, int]:
    """Of the oldest and of the newest dead letter; the oldest one is alone in its group."""
    row = await stage.database.fetchrow("SELECT min(id) AS oldest, max(id) AS newest FROM ingest_errors")
    return row["oldest"], row["newest"]
