"""What the command `migrate` does: the schema of this version, what a new table has of earlier rows, and then the
policies that the variables ask for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeVar

import asyncpg

from traksense_ingest.ops.adopt import command as adopt
from traksense_ingest.ops.adopt.command import Adoption
from traksense_ingest.ops.advice import explain_with_url
from traksense_ingest.ops.schema.apply import DesiredPolicies, shape
from traksense_ingest.ops.schema.catalogue import EarlierPoints
from traksense_ingest.ops.schema.hidden import UNFINISHED, Recovery, warnings
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
Retry = Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]  # waits until the database is reachable

log = logging.getLogger(__name__)


class Request(NamedTuple):
    """What the options of `migrate` ask for."""

    drop_aggregates: bool = False
    recover_rows: bool = False
    adoption: Adoption | None = None
    dry_run: bool = False
    compat_views: bool = False
    undo_adopt: bool = False
    drop_v1: bool = False
    yes: bool = False


def run(request: Request) -> int:
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
        changes = asyncio.run(_run(variable, url, DesiredPolicies.from_settings(settings), request))
    except asyncpg.PostgresError as error:
        raise IngestError(explain_with_url(variable, url, error)) from None
    if changes is not None:
        print("\n".join(changes) or "nothing to do: the database is up to date")
    return EXIT_OK


async def _run(variable: str, url: str, desired: DesiredPolicies, request: Request) -> list[str] | None:
    """What was changed, a line each; None where nothing was to be changed."""
    where = f"{variable}={redacted(url)}"
    database = Component("database", where, Metrics(("database",)))

    async def retry_through_outage(work: Callable[[], Awaitable[T]]) -> T:
        return await wait_until_reachable(database, variable, lambda: _unless_unusable(work, where))

    adoption = request.adoption
    if adoption and request.dry_run:
        await retry_through_outage(lambda: adopt.final(adopt.plan(url, adoption)))
        return None
    if request.undo_adopt:
        return await retry_through_outage(lambda: adopt.final(adopt.go_back(url)))
    if request.drop_v1:
        return await retry_through_outage(lambda: adopt.final(adopt.drop(url, yes=request.yes)))
    if adoption:
        changes = await retry_through_outage(lambda: adopt.final(adopt.begin(url, adoption)))
    else:
        changes = []
    changes += await _bring_up_to_date(url, desired, request, retry_through_outage)
    if adoption:
        print("\n".join(changes), flush=True)  # before the copying, which takes its time
        changes = await retry_through_outage(lambda: adopt.final(adopt.copy(url)))
    if request.compat_views:
        changes += await retry_through_outage(lambda: adopt.final(adopt.make_views(url)))
    return changes


async def _bring_up_to_date(url: str, desired: DesiredPolicies, request: Request, retry: Retry) -> list[str]:
    recovery, earlier_points = Recovery(url), EarlierPoints(url)
    applied = await retry(lambda: migrate(url))
    recovered = await retry(recovery.run) if request.recover_rows else []
    catalogued = await retry(earlier_points.run)
    changes: list[str] = await retry(lambda: shape(url, desired, drop_others=request.drop_aggregates))
    for line in await retry(lambda: warnings(url)):
        if line != UNFINISHED or not request.adoption:
            log.warning("%s", line)
    return [*[f"{len(applied)} migrations applied"] * bool(applied), *recovered, *catalogued, *changes]


async def _unless_unusable(work: Callable[[], Awaitable[T]], where: str) -> T:
    """Raises IngestError if the database can't be used as it is: whoever runs `migrate` decides whether to wait."""
    try:
        return await work()
    except Unusable as error:
        raise IngestError(f"{where}: {error}") from None
