"""`/map`: what does a mapping make of a message? Nothing is stored, and no file is read but the library's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from starlette.datastructures import FormData
from starlette.responses import Response

from traksense_ingest.ops.console.bounded import bounded
from traksense_ingest.ops.console.filters import id_of
from traksense_ingest.ops.console.page import Page
from traksense_ingest.ops.console.playground.form import Form, Wrong
from traksense_ingest.ops.console.playground.listeners import SECONDS, Heard
from traksense_ingest.ops.console.visit import Visit
from traksense_ingest.ops.mapping.messages import message_line, parsed_line, rfc3339
from traksense_ingest.ops.mapping.playground.answer import Kind, drafted, for_trials, tried
from traksense_ingest.ops.mapping.sources import message_of_letter
from traksense_ingest.ops.writers_mappings import differing
from traksense_ingest.shared.errors import IngestError
from traksense_ingest.shared.mapping.expected import Message
from traksense_ingest.shared.mapping.load import formats

PATIENCE_S = 5.0  # for the database


@dataclass(frozen=True)
class View:
    """What the page shows."""

    form: Form
    wrong: dict[str, str] = field(default_factory=dict)  # errors, by the field
    problem: str = ""  # why there is no result
    said: tuple[str, ...] = ()  # about a draft
    heard: Heard | None = None
    result: dict[str, Any] | None = None  # of `tried`
    differing: tuple[str, ...] = ()  # names of mappings that the writers have in another version


async def show(visit: Visit) -> Response:
    """The form; with the message of a dead letter, or an example of the library, and its result."""
    form = Form()
    try:
        if library := visit.query.get("library"):
            view = await _tried(visit, replace(form, mapping=f"{Kind.LIBRARY}:{library}").with_example())
        elif letter := visit.query.get("letter"):
            view = await _tried(visit, form.with_message(await _letter(visit, letter)))
        else:
            view = View(form)
    except Wrong as wrong:
        view = View(form, {wrong.field: str(wrong)})
    return await _page(visit, view)


async def work(visit: Visit) -> Response:
    """The action of the button that was pressed."""
    fields = await visit.form()
    form = Form.of(fields)
    if str(fields.get("do", "")) == "example" and form.library:
        return visit.see_other("/map", library=form.library)
    action = _ACTIONS.get(str(fields.get("do", "")), _try)
    try:
        view = await action(visit, form, fields)
    except Wrong as wrong:
        view = View(form, {wrong.field: str(wrong)})
    except IngestError as error:  # the form keeps what was typed
        view = View(form, problem=str(error))
    return await _page(visit, view)


async def download(visit: Visit) -> Response:
    """The mapping in the text field, as a file."""
    form = Form.of(await visit.form())
    headers = {"content-disposition": f'attachment; filename="{form.file_name}"'}
    return Response(form.text.encode(errors="replace"), media_type="application/yaml", headers=headers)


async def _try(visit: Visit, form: Form, fields: FormData) -> View:
    if line := fields.get("message"):  # one of the messages that were received
        form = form.with_message(_heard_message(str(line)))
    return await _tried(visit, form)


async def _copy(visit: Visit, form: Form, _: FormData) -> View:
    return await _tried(visit, form.with_copy())


async def _example(_visit: Visit, _form: Form, _: FormData) -> View:
    raise Wrong("mapping", "choose a mapping of the library: each has an example")


async def _draft(visit: Visit, form: Form, fields: FormData) -> View:
    heard = [_heard_message(str(line)) for line in fields.getlist("heard")]
    if heard:
        form = form.with_message(heard[0])
    elif (message := form.message) is not None:
        heard = [message]
    else:
        raise Wrong("topic", "a draft needs a message: its topic and its payload")
    found = await visit.console.processes.run(drafted, heard, for_trials(visit.settings))
    if found["text"]:
        form = form.with_text(found["text"])
    elif found["reader"]:
        form = form.with_library(found["reader"])
    return replace(await _tried(visit, form), said=tuple(found["said"]))


async def _listen(visit: Visit, form: Form, _: FormData) -> View:
    session, topic = visit.session, form.filter
    assert session is not None  # noqa: S101  (the page needs a role)
    heard = await visit.console.listeners.hear(session, visit.request, visit.settings, topic)
    return View(form, heard=heard)


_ACTIONS: dict[str, Callable[[Visit, Form, FormData], Awaitable[View]]] = {
    "try": _try,
    "copy": _copy,
    "example": _example,
    "draft": _draft,
    "listen": _listen,
}


async def _tried(visit: Visit, form: Form) -> View:
    """Raises Wrong."""
    chosen, message = form.chosen, form.message
    try:
        result = await visit.console.processes.run(tried, chosen, message, for_trials(visit.settings))
    except IngestError as error:
        return View(form, problem=str(error))
    status = await visit.console.feed.status()
    is_running = chosen.kind is Kind.RUNNING and "digests" in result
    others = differing(result["digests"], status.writers or ()) if is_running else []
    return View(form, result=result, differing=tuple(others))


async def _letter(visit: Visit, text: str) -> Message:
    """Raises Wrong, and IngestError."""
    if (id_ := id_of(text)) is None:
        raise Wrong("letter", "this is not the id of a dead letter")
    async with bounded("DATABASE_URL", visit.settings.database_url, PATIENCE_S):
        message = await message_of_letter(visit.settings, id_)
    if message is None:
        raise Wrong("letter", f"there is no dead letter {id_}")
    return message


def _heard_message(line: str) -> Message:
    return parsed_line(line, "message")


async def _page(visit: Visit, view: View) -> Response:
    heard = view.heard.messages if view.heard else []
    return await visit.render(
        "playground.html",
        view=view,
        form=view.form,
        formats=await asyncio.to_thread(formats),
        mappings=visit.settings.ingest_mappings,
        heard=[(message, message_line(message), rfc3339(message.received)) for message in heard],
        seconds=SECONDS,
    )


PAGES = (
    Page("/map", show),
    Page("/map", work, is_post=True),
    Page("/map/download", download, is_post=True),
)
