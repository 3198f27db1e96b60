"""The load generator, a process of its own: `python -m bench.load URL PROTOCOL CONNECTIONS WINDOW RATE SHAPE`.

It encodes everything, says `ready` and waits for a line; then it publishes at QoS 1, as fast as PUBACKs let it or, with
a rate, each message at the moment that its timestamp names. At the end it prints what that cost, as JSON.
"""

from __future__ import annotations

import json
import math
import secrets
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from bench.lane import Lane, connected
from bench.packets import published
from bench.shape import Shape

TICK_S = 0.001  # between two polls of the sockets: 1000 a second cost some 2 % of a core
FIRST_MARGIN_S = 2.0  # encoding 50 000 messages takes about half a second
CONNECTING = timedelta(seconds=0.5)


def main() -> None:
    """The command."""
    url, protocol, connections, window, rate, shape = sys.argv[1:]
    lanes, begin = _prepared(url, protocol, int(connections), int(window), float(rate), Shape.from_json(shape))
    print("ready", flush=True)
    sys.stdin.readline()
    cpu, started = time.process_time(), time.time()
    _run(lanes, float(rate), begin)
    spent = {"seconds": time.time() - started, "cpu": time.process_time() - cpu}
    for lane in lanes:
        lane.close()
    print(json.dumps(spent), flush=True)


def _prepared(
    url: str, protocol: str, connections: int, window: int, rate: float, shape: Shape
) -> tuple[Sequence[Lane], float]:
    """The lanes, and when the first message is due: with a rate, that is in the future and in its timestamp."""
    margin = FIRST_MARGIN_S
    while True:
        begin = datetime.now(UTC) + timedelta(seconds=margin)
        timed = replace(shape, start=begin, step_us=1e6 / rate) if rate else shape
        encoded = [
            list(published(protocol, timed.encoded(range(index, shape.messages, connections))))
            for index in range(connections)
        ]
        if not rate or datetime.now(UTC) < begin - CONNECTING:
            break
        margin *= 2
    name = f"bench-{secrets.token_hex(4)}"
    lanes = [Lane(connected(url, protocol, f"{name}-{index}"), ready, window) for index, ready in enumerate(encoded)]
    return lanes, begin.timestamp()


def _run(lanes: Sequence[Lane], rate: float, begin: float) -> None:
    """Until every message has its PUBACK."""
    total = sum(lane.count for lane in lanes)
    while sum(lane.acknowledged for lane in lanes) < total:
        due = due_now(total, rate, time.time() - begin)
        for index, lane in enumerate(lanes):
            lane.turn((due - index + len(lanes) - 1) // len(lanes))
        time.sleep(TICK_S)


def due_now(total: int, rate: float, elapsed: float) -> int:
    """How many of all messages are to be out, so many seconds after the first one was due; without a rate, all."""
    return min(total, max(0, math.floor(elapsed * rate) + 1)) if rate else total


if __name__ == "__main__":
    main()
