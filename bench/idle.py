"""An aiomqtt subscriber that does nothing: `python -m bench.idle CLIENT_ID MESSAGES`.

It takes over the session of that name, counts messages, and prints how long they took from the first to the last, and
what CPU: the least that a receiver on this library as it is could cost.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from bench.packets import SESSION_EXPIRY_S
from traksense_ingest.shared.config import load
from traksense_ingest.shared.mqtt import client, is_v5


async def main(client_id: str, count: int) -> dict[str, float]:
    """Receive so many messages; seconds and CPU seconds from the first one on."""
    settings = load()
    session: dict[str, Any] = {"clean_session": False}
    if is_v5(settings):
        session = {"clean_start": False, "properties": _session()}
    async with client(settings, client_id, **session) as subscriber:
        messages = aiter(subscriber.messages)
        await anext(messages)
        started, cpu = time.perf_counter(), time.process_time()
        for _ in range(count - 1):
            await anext(messages)
        return {"seconds": time.perf_counter() - started, "cpu": time.process_time() - cpu}


def _session() -> Properties:
    session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    session.SessionExpiryInterval = SESSION_EXPIRY_S
    return session


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1], int(sys.argv[2])))), flush=True)
