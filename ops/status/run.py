"""`status` from its options to its exit code."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Collection, Coroutine
from typing import Any

from redis.exceptions import RedisError

from ops.advice import unanswered
from ops.status.accept import accept_loss
from ops.status.database import DatabaseAway
from ops.status.show import show_always, show_once
from ops.status.threads import Unwaited
from shared.config import Settings
from shared.database import NotMigrated
from shared.failure import is_hopeless
from shared.service import EXIT_FAILED, EXIT_MISCONFIGURED, EXIT_OK


def show_status(
    settings: Settings,
    period_s: float | None,
    sample_s: float,
    patience_s: float,
    skipped: Collection[str],
    *,
    as_json: bool,
) -> int:
    """Once, or with a period until Ctrl-C; returns the exit code."""
    if period_s is None:
        return run_unwaited(show_once(settings, sample_s, patience_s, skipped, as_json=as_json))
    return run_unwaited(show_always(settings, period_s, patience_s, skipped, as_json=as_json))


def run_unwaited(work: Coroutine[Any, Any, int]) -> int:
    """As asyncio.run, but a thread that still waits for a part does not hold up the end."""

    async def run() -> int:
        asyncio.get_running_loop().set_default_executor(Unwaited())
        return await work

    return asyncio.run(run())


def accept_loss_once(settings: Settings, patience_s: float, *, as_json: bool) -> int:
    """Write off what is missing and lost; returns the exit code."""
    try:
        accepted = asyncio.run(accept_loss(settings, patience_s))
    except (RedisError, OSError) as error:
        return _fail(unanswered("REDIS_URL", settings.redis_url, error), error)
    except DatabaseAway as error:
        return _fail(f"{error}; nothing was written off", error.__cause__ or error)
    if as_json:
        print(json.dumps({"accepted": accepted}))
    else:
        for stream, count in accepted.items():
            print(f"{stream}: {count} entries written off" if count else f"{stream}: nothing to write off")
    return EXIT_OK


def _fail(told: str, error: BaseException) -> int:
    print(told, file=sys.stderr)
    return EXIT_MISCONFIGURED if isinstance(error, NotMigrated) or is_hopeless(error) else EXIT_FAILED
