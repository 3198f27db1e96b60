"""`/dead/replay`: a dry run of a replay, its start and its stop."""

from __future__ import annotations

import asyncio
import math
from typing import Any

from starlette.responses import Response

from traksense_ingest.ops.appending.options import RATE, RATE_MAX
from traksense_ingest.ops.console.actions.replay_box import box_of
from traksense_ingest.ops.console.actions.replays import due, scope_now
from traksense_ingest.ops.console.actions.scope import Scope
from traksense_ingest.ops.console.actions.table import STATEMENT_S, action_of, ask_stop
from traksense_ingest.ops.console.filters import Filters, id_of
from traksense_ingest.ops.console.guard.roles import Role
from traksense_ingest.ops.console.page import Page
from traksense_ingest.ops.console.visit import Visit
from traksense_ingest.ops.dlq.dead_letter import Selection
from traksense_ingest.ops.dlq.dry_run import REJECTED, try_newest
from traksense_ingest.ops.dlq.table import open_table
from traksense_ingest.ops.forecast import Forecaster
from traksense_ingest.ops.writers_mappings import differing
from traksense_ingest.shared.mapping.faults import MappingError

TRIED, TRIED_S = 1000, 5.0  # dead letters of a dry run, and seconds
TYPED_FROM = 1000  # more than so many are replayed only if the user types their number


async def plan(visit: Visit) -> Response:
    """The dry run, and the form that starts the replay."""
    filters = Filters(visit.query)
    if filters.errors:
        return await visit.error(400, "No replay", "; ".join(filters.errors))
    async with open_table(visit.settings.database_url, STATEMENT_S) as connection:
        scope = await _asked(visit, connection, filters)
        if scope is None:
            return await visit.error(404, "Not found", "There is no such replay.")
        return await _plan(visit, connection, scope, scope.rate or RATE)


async def _asked(visit: Visit, connection: Any, filters: Filters) -> Scope | None:
    """What is left of an earlier replay, one dead letter, or what the filters select."""
    if "go_on" in visit.query:
        action = await action_of(connection, id_of(visit.query["go_on"]) or 0)
        return action.scope if action else None
    if (id_ := id_of(visit.query.get("id"))) is not None:
        return await scope_now(connection, Selection(ids=(id_,)), again="again" in visit.query)
    return await scope_now(connection, filters.selection, again=False)


async def _plan(visit: Visit, connection: Any, scope: Scope, rate: float, problem: str | None = None) -> Response:
    count = await due(connection, scope)
    context: dict[str, Any] = {"trial": None, "mapping_error": None, "others": []}
    try:
        forecaster = await asyncio.to_thread(Forecaster, visit.settings, REJECTED)
        context["trial"] = await try_newest(connection, forecaster, scope.selection, scope.before, TRIED, TRIED_S)
        status = await visit.console.feed.status()
        context["others"] = differing(forecaster.mappings, status.writers or ())
    except MappingError as error:
        context["mapping_error"] = str(error)
    return await visit.render(
        "replay.html",
        400 if problem else 200,
        scope=scope,
        count=count,
        rate=rate,
        rate_max=RATE_MAX,
        problem=problem,
        typed_from=TYPED_FROM,
        tried=TRIED,
        box=await box_of(connection, visit.console.replays),
        **context,
    )


async def begin(visit: Visit) -> Response:
    """Start it, in the background."""
    form = await visit.form()
    try:
        scope = Scope.from_json(str(form.get("scope", "")))
    except ValueError:
        return await visit.error(400, "No replay", "The form is not valid: open the page again.")
    rate = _rate(str(form.get("rate", "")))
    assert visit.session is not None  # noqa: S101  (an operator)
    async with open_table(visit.settings.database_url, STATEMENT_S) as connection:
        count = await due(connection, scope)
        problem = _problem(rate, count, str(form.get("typed", "")))
        if problem or rate is None:
            return await _plan(visit, connection, scope, rate or RATE, problem)
        if not await visit.console.replays.start(connection, visit.session, scope, rate, count):
            busy = "Another replay is running, and only one can run at a time. Try again when it has ended."
            return await _plan(visit, connection, scope, rate, busy)
    return visit.see_other("/dead")


def _rate(text: str) -> float | None:
    try:
        rate = float(text)
    except ValueError:
        return None
    return rate if math.isfinite(rate) and 0 < rate <= RATE_MAX else None


def _problem(rate: float | None, count: int, typed: str) -> str | None:
    if rate is None:
        return f"The rate must be a number of messages/s, above 0 and at most {RATE_MAX:.0f}. Nothing was started."
    if not count:
        return "There is nothing left to replay."
    if count > TYPED_FROM and "".join(char for char in typed if char.isdigit()) != str(count):
        return f"To confirm, type their number: {count}. Nothing was started."
    return None


async def stop(visit: Visit) -> Response:
    """It ends after the current batch; in another console, after its next heartbeat."""
    assert visit.session is not None  # noqa: S101  (an operator)
    form, who = await visit.form(), visit.session.user
    action = id_of(str(form.get("action"))) or 0
    if job := visit.console.replays.job_of(action):  # also while the database can't be used
        job.stop(who)
    else:
        async with open_table(visit.settings.database_url, STATEMENT_S) as connection:
            await ask_stop(connection, action, who)
    return visit.see_other("/dead")


PAGES = (
    Page("/dead/replay", plan, Role.OPERATOR),
    Page("/dead/replay", begin, Role.OPERATOR, is_post=True),
    Page("/dead/replay/stop", stop, Role.OPERATOR, is_post=True),
)
