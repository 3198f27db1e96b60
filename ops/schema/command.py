"""What the command `migrate` does: the schema of this version, what a new table has of earlier rows, and then the
policies that the variables ask for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg

from traksense_ingest.ops.advice import explain_with_url
from traksense_ingest.ops.schema.apply import DesiredPolicies, shape
from traksense_ingest.ops.schema.catalogue import EarlierPoints
from traksense_ingest.ops.schema.hidden import Recovery, warning
from traksense_ingest.ops.schema.migrate import migrate
from traksense_ingest.shared import config
from traksense_ingest.shared.config import redacted
from traksense_ingest.shared.errors import IngestError
from traksense_ingest.shared.failure import Unusable
from traksense_ingest.shared.metrics import Metrics
from traksense_ingest.shared.runtime import log as logs
from traksense_ingest.shared.runtime.health import Component
from traksense_ingest.shared.runtime.retry import wait_until_reachable
from traksense_ingest.shared.runtime.service import EXIT_OK

T = TypeVar("T")

log = logging.getLogger(__name__)


def run(*, drop_aggregates: bool, recover_rows: bool) -> int:
    """Bring MIGRATE_DATABASE_URL or DATABASE_URL up to date, once it is reachable; returns the exit code.

    Raises IngestError.
    """
    settings = config.load()
    logs.configure(settings.log_level, settings.log_format)
    for name in config.unknown_variables():
        log.warning("ignoring the variable %s", name)
    variable = "MIGRATE_DATABASE_URL" if settings.migrate_database_url else "DATABASE_URL"
    url = settings.migrate_database_url or settings.database_url
    try:
        work = _bring_up_to_date(variable, url, DesiredPolicies.from_settings(settings), drop_aggregates, recover_rows)
        changes = asyncio.run(work)
    except asyncpg.PostgresError as error:
        raise IngestError(explain_with_url(variable, url, error)) from None
    print("\n".join(changes) or "nothing to do: the database is up to date")
    return EXIT_OK


async def _bring_up_to_date(
    variable: str, url: str, desired: DesiredPolicies, drop_aggregates: bool, recover_rows: bool
) -> list[str]:
    """What was changed, a line each."""
    where = f"{variable}={redacted(url)}"
    database = Component("database", where, Metrics(("database",)))
    recovery, earlier_points = Recovery(url), EarlierPoints(url)

    async def retry_through_outage(work: Callable[[], Awaitable[T]]) -> T:
        return await wait_until_reachable(database, variable, lambda: _unless_unusable(work, where))

    applied = await retry_through_outage(lambda: migrate(url))
    recovered = await retry_through_outage(recovery.run) if recover_rows else []
    catalogued = await retry_through_outage(earlier_points.run)
    changes = await retry_through_outage(lambda: shape(url, desired, drop_others=drop_aggregates))
    if hidden := await retry_through_outage(lambda: warning(url)):
        log.warning("%s", hidden)
    return [f"{len(applied)} migrations applied"] * bool(applied) + recovered + catalogued + changes


async def _unless_unusable(work: Callable[[], Awaitable[T]], where: str) -> T:
    """Raises IngestError if the database can't be used as it is: whoever runs `migrate` decides whether to wait."""
    try:
        return await work()
    except Unusable as error:
        raise IngestError(f"{where}: {error}") from None
