"""How a command ends that can't go on: one line on stderr, exit code 1, or 2 where waiting doesn't help."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import RedisError

from ops.advice import unanswered
from ops.dlq.table import Unusable
from shared.config import Settings
from shared.failure import is_hopeless
from shared.outage import Misconfigured
from shared.service import EXIT_FAILED, EXIT_MISCONFIGURED


@contextmanager
def one_line(settings: Settings) -> Iterator[None]:
    """Around the work of a command; exits on what database, Redis and configuration can do wrong."""
    try:
        yield
    except Unusable as error:
        _end(str(error), is_final=error.is_final)
    except RedisError as error:
        _end(unanswered("REDIS_URL", settings.redis_url, error), is_final=is_hopeless(error))
    except Misconfigured as error:
        _end(str(error), is_final=True)


def _end(told: str, *, is_final: bool) -> None:
    print(told, file=sys.stderr)
    sys.exit(EXIT_MISCONFIGURED if is_final else EXIT_FAILED)
