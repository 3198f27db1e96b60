"""The sidecar of a receiver: ends the session at the broker of a receiver that is removed because fewer are wanted.

Kubernetes stops it after the receiver. A pod that is only restarted comes back under the same client id and takes its
session over. One that is removed for good does not, and the broker would drop what its session holds a day later.
Where no receiver at all is wanted, the sessions stay: nobody else would receive what comes meanwhile.

`leave.py FOLDER`: the folder has the token and the certificate for the API server.
"""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from urllib.request import Request, urlopen

COMMAND = ["traksense-ingest", "receiver", "--leave"]
STILL_RUNS = 2  # the exit code while Redis has heard of the receiver within 15 s, which is so after a kill
TRIES, PAUSE_S = 5, 5.0


def main(folder: Path) -> int:
    """Wait for SIGTERM, then leave if this receiver is removed."""
    stop = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)
    log("INFO", "waiting until the receiver has stopped")
    signal.sigwait(stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, stop)
    try:
        wanted = replicas(folder)
    except (OSError, ValueError, KeyError) as error:
        log("WARNING", f"the session stays: the API server did not say how many receivers are wanted: {error!r}")
        return 1
    if not is_removed(os.environ["MQTT_CLIENT_ID"], wanted):
        log("INFO", f"the session stays: {wanted} receivers are wanted")
        return 0
    return leave()


def replicas(folder: Path) -> int:
    """How many receivers are wanted. Raises OSError, ValueError and KeyError."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    address = f"[{host}]" if ":" in host else host
    path = f"/apis/apps/v1/namespaces/{os.environ['POD_NAMESPACE']}/statefulsets/{os.environ['STATEFULSET']}/scale"
    token = (folder / "token").read_text().strip()
    request = Request(f"https://{address}:{port}{path}", headers={"Authorization": f"Bearer {token}"})
    trusted = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    with urlopen(request, timeout=10, context=trusted) as reply:  # noqa: S310
        return int(json.load(reply)["spec"].get("replicas", 0))  # a 0 is left out


def is_removed(pod: str, wanted: int) -> bool:
    """Whether the pod's number is beyond those that are wanted, of which there is at least one."""
    return 0 < wanted <= int(pod.rpartition("-")[2])


def leave() -> int:
    """Take what the session holds, and end it. Returns the exit code of the last try."""
    code = subprocess.call(COMMAND)  # noqa: S603
    for _ in range(TRIES - 1):
        if code == STILL_RUNS:
            time.sleep(PAUSE_S)
            code = subprocess.call(COMMAND)  # noqa: S603
    return code


def log(level: str, message: str) -> None:
    """One line, with the fields of the services' logs."""
    about = {"logger": "leave", "client_id": os.environ.get("MQTT_CLIENT_ID"), "message": message}
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    print(json.dumps({"ts": now, "level": level, **about}), file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
