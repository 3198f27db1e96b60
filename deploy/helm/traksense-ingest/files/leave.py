"""The sidecar of a receiver: ends the session at the broker of a receiver that is removed by scaling down.

Kubernetes stops it after the receiver. A pod that is only restarted comes back under the same client id and takes its
session over; one that is scaled away does not, and what its session holds would be lost a day later. Scaled down to 0,
receivers keep their sessions: nobody else would receive what comes meanwhile.
"""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import Request, urlopen

ACCOUNT = Path(os.environ.get("ACCOUNT", "/var/run/secrets/kubernetes.io/serviceaccount"))
TRIES = 5  # of 5 s: a receiver that was killed counts as running for 15 s
LEAVE = ["traksense-ingest", "receiver", "--leave"]
RUNS = 2  # exit code: this client id still runs


def main() -> int:
    """Wait for SIGTERM, then leave if there are to be fewer receivers."""
    stop = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)
    signal.sigwait(stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, stop)
    try:
        wanted = replicas()
    except (OSError, ValueError, KeyError) as error:
        return say(f"keeps its session, because the API server does not say how many receivers there are to be: {error}")
    if not is_removed(os.environ["MQTT_CLIENT_ID"], wanted):
        return say(f"keeps its session: {wanted} receivers are wanted")
    return leave()


def replicas() -> int:
    """How many receivers there are to be. Raises OSError, ValueError and KeyError."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    address = f"[{host}]" if ":" in host else host
    path = f"/apis/apps/v1/namespaces/{os.environ['POD_NAMESPACE']}/statefulsets/{os.environ['STATEFULSET']}/scale"
    token = (ACCOUNT / "token").read_text().strip()
    request = Request(f"https://{address}:{port}{path}", headers={"Authorization": f"Bearer {token}"})  # noqa: S310
    trusted = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    with urlopen(request, timeout=10, context=trusted) as reply:  # noqa: S310
        return int(json.load(reply)["spec"].get("replicas", 0))


def is_removed(pod: str, wanted: int) -> bool:
    """Whether this pod is one too many. The last receiver never is."""
    return 0 < wanted <= int(pod.rpartition("-")[2])


def leave() -> int:
    """Take what the session holds, and end it. The exit code of the last try."""
    for _ in range(TRIES):
        code = subprocess.call(LEAVE)  # noqa: S603
        if code != RUNS:
            break
        time.sleep(5)
    return code


def say(text: str) -> int:
    """Log a line; the exit code is 0."""
    print(json.dumps({"level": "INFO", "message": f"{os.environ['MQTT_CLIENT_ID']} {text}"}), file=sys.stderr, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
