"""`python -m traksense_ingest.ops.drain`: waits for SIGTERM, then until receivers have taken what the broker holds.

docker-compose.yml stops it after the proxy through which devices connect, and before the receivers. A broker that keeps
its sessions in memory loses what no receiver has taken when it stops.
"""

from __future__ import annotations

import logging
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from traksense_ingest.ops.scrape import Samples, scrape
from traksense_ingest.shared.config import load
from traksense_ingest.shared.ports import RECEIVER_METRICS, metrics_url
from traksense_ingest.shared.runtime import log as logs

RECEIVERS = "receiver"  # the DNS name of all receivers
PORT = RECEIVER_METRICS.default  # where each of them serves its metrics
DEVICES = "devices"  # the proxy that devices connect to, which has no address when it is stopped
QUIET_S = 1.0  # a broker delivers at once what it has: after so long without a message it has none
LIMIT_S = 50.0
POLL_S = 0.2

log = logging.getLogger(__name__)


class Progress(NamedTuple):
    """What receivers have done since they started, and whether they could do more."""

    received: float
    appended: float
    is_blocked: bool  # full streams, or the broker or Redis unreachable


def progress() -> Progress | None:
    """The sum over all receivers; None if none answers."""
    samples = list(filter(None, map(scrape, _urls())))
    if not samples:
        return None
    return Progress(
        sum(each.value("ingest_received_messages_total") for each in samples),
        sum(each.value("ingest_appended_messages_total") for each in samples),
        any(map(_is_blocked, samples)),
    )


def drain(
    observe: Callable[[], Progress | None],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Wait until receivers have been idle for QUIET_S, LIMIT_S at most; returns the result, for the log."""
    started = changed_at = clock()
    last = observe()
    while clock() - started < LIMIT_S:
        if last is None:
            return "no receiver runs: nothing to wait for"
        if not last.is_blocked and clock() - changed_at >= QUIET_S:
            return f"receivers have taken everything, after {clock() - started:.1f} s"
        sleep(POLL_S)
        now = observe()
        if now != last:
            changed_at, last = clock(), now
    return f"receivers have not taken everything within {LIMIT_S:.0f} s: a broker that stops now may lose the rest"


def _urls() -> Iterator[str]:
    return (metrics_url(PORT, address) for address in _addresses(RECEIVERS))


def _addresses(name: str) -> list[str]:
    try:
        found = socket.getaddrinfo(name, PORT, socket.AF_INET, socket.SOCK_STREAM)
    except socket.gaierror:  # a container that has ended has no name
        return []
    return [str(address[0]) for *_, address in found]


def _is_blocked(samples: Samples) -> bool:
    is_connected = all(samples.value("ingest_connected", component=name) for name in ("broker", "redis"))
    return bool(samples.value("ingest_backpressure")) or not is_connected


def main() -> int:
    """Wait for the signal, then for the receivers; always 0, since the stop goes on in any case."""
    stop = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)
    settings = load()
    logs.configure(settings.log_level, settings.log_format)
    log.info("on SIGTERM it waits until receivers are idle")
    signal.sigwait(stop)
    if _addresses(DEVICES):
        log.info("devices can still connect, so receivers will not become idle: stopping without them")
    else:
        log.info("%s", drain(progress))
    return 0


if __name__ == "__main__":
    sys.exit(main())
