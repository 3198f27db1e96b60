"""`python -m ops.healthz`: exit code 0 while the service in this container is alive; for Docker's health check.

It asks /healthz, not /readyz: a restart of this container mends no outage of the broker, Redis or the database.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

PORTS = ("9100", "9101")  # a receiver's, a writer's
TIMEOUT_S = 3.0

_direct = build_opener(ProxyHandler({}))


def is_alive(environment: Mapping[str, str]) -> bool:
    """Whether a service answers 200, on METRICS_PORT where that is set."""
    port = environment.get("METRICS_PORT")
    return any(map(_answers, (port,) if port else PORTS))


def _answers(port: str) -> bool:
    try:
        with _direct.open(f"http://127.0.0.1:{port}/healthz", timeout=TIMEOUT_S):
            return True
    except (URLError, OSError):
        return False


if __name__ == "__main__":
    sys.exit(not is_alive(os.environ))
