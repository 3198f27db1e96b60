"""What runs beside the work: looked at again and again, and never a reason to end it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import NoReturn

from shared.backoff import Backoff
from shared.failure import describe
from shared.tasks import end_if_cancelled

LONGEST_S = 30.0  # between looks that fail
FORGET_S = 600.0  # an error that was not met for so long is told again

log = logging.getLogger(__name__)


async def watch(name: str, look: Callable[[], Awaitable[object]], period_s: float) -> NoReturn:
    """Look, wait, and look again; after an error later and later. The same error is told once, with its traceback."""
    backoff = Backoff(period_s, max(period_s, LONGEST_S))
    told, met_at = "", 0.0
    while True:
        end_if_cancelled()
        try:
            await look()
        except Exception as error:
            what, now = f"{type(error).__name__}: {describe(error)}", time.monotonic()
            if what != told or now - met_at > FORGET_S:
                log.exception("watching %s failed, and goes on", name)
            told, met_at = what, now
            await asyncio.sleep(backoff.delay())
        else:
            backoff.reset()
            await asyncio.sleep(period_s)
