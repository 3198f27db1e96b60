"""The work of the command `migrate`: the schema of this version, then the shape that the variables say."""

from __future__ import annotations

import asyncio
import logging
import sys

import asyncpg

from ops.advice import unanswered
from ops.migrate import migrate
from ops.shape.apply import shape
from ops.shape.refused import Refused
from ops.shape.wanted import Wanted
from shared import config
from shared import log as logs
from shared.config import Settings, redacted
from shared.health import Component
from shared.metrics import Metrics
from shared.outage import Misconfigured, first_contact
from shared.service import EXIT_FAILED, EXIT_MISCONFIGURED, EXIT_OK

log = logging.getLogger(__name__)


def run(*, drop_aggregates: bool) -> int:
    """Bring DATABASE_URL up to date, once it is there; returns the exit code. Raises ConfigError."""
    settings = config.load()
    logs.configure(settings.log_level, settings.log_format)
    for name in config.misspelt():
        log.warning("ignoring the variable %s", name)
    try:
        changes = asyncio.run(_bring_up_to_date(settings, drop_aggregates))
    except (Misconfigured, Refused) as error:
        print(error, file=sys.stderr)
        return EXIT_MISCONFIGURED
    except asyncpg.PostgresError as error:
        print(unanswered("DATABASE_URL", settings.database_url, error), file=sys.stderr)
        return EXIT_FAILED
    print("\n".join(changes) or "nothing to do: the database is up to date")
    return EXIT_OK


async def _bring_up_to_date(settings: Settings, drop_aggregates: bool) -> list[str]:
    """What was changed, a line each."""
    url, wanted = settings.database_url, Wanted.by(settings)
    database = Component("database", f"DATABASE_URL={redacted(url)}", Metrics(("database",)))
    applied = await first_contact(database, "DATABASE_URL", lambda: migrate(url))
    changes = await first_contact(database, "DATABASE_URL", lambda: shape(url, wanted, drop_aggregates=drop_aggregates))
    return [f"{len(applied)} migrations applied"] * bool(applied) + changes
