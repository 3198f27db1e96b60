"""`meta`, `ack`, `event`, `state` and `identity`, parsed."""

from __future__ import annotations

from traksense_ingest.shared.mapping.faults import quoted
from traksense_ingest.shared.mapping.model import Ack, Event, Fields, Flag, Identity, Literally, Source, State
from traksense_ingest.shared.mapping.read.cursor import Cursor, Keys
from traksense_ingest.shared.mapping.read.paths import NOWHERE, path_to_one, template
from traksense_ingest.shared.mapping.text import Key, Path, Reference, Root, Template
from traksense_ingest.shared.messages import NAME_MAX

LEVELS = ("tenant", "site", "device")
EMPTY = Template("", ("",))


def source(at: Cursor) -> Source:
    """A path, `@capture`, `=literal`, or a string with references in braces."""
    if at.is_text and at.text().startswith("="):
        return Literally(at.text()[1:])
    if at.is_text and "{" in at.text():
        return template(at)
    return path_to_one(at)


def fields(at: Cursor) -> Fields:
    """`{name: source}`."""
    return tuple(
        (key.text("a name"), source(value)) for key, value in at.table("names and paths, such as {fw: version}")
    )


def ack(at: Cursor) -> Ack:
    """The command's id, whether it was carried out, and the error."""
    keys = at.keys("cmd_id", "ok", "err")
    id_ = keys.required("cmd_id", 'the command\'s id, such as "{.id}"')
    ok = keys.required("ok", "the path of true or false")
    return Ack(template(id_) if id_ else EMPTY, _flag(ok), keys.read("err", path_to_one, None))


def event(at: Cursor) -> Event:
    """What happened, its id and what belongs to it."""
    keys = at.keys("type", "id", "data")
    type_ = keys.required("type", 'the kind of event, such as boot or "{.event}"')
    return Event(template(type_) if type_ else EMPTY, keys.read("id", template, None), keys.read("data", _data, None))


def state(at: Cursor) -> State:
    """Whether a device is connected, and why it isn't."""
    keys = at.keys("online", "reason")
    return State(_flag(keys.required("online", "the path of true or false")), keys.read("reason", source, None))


def _data(at: Cursor) -> Path | Fields:
    return fields(at) if at.is_object else path_to_one(at)


def _flag(at: Cursor | None) -> Flag:
    """A path, or one with a table, or `{value: true}`."""
    if at is None:
        return Flag(NOWHERE)
    if not at.is_object:
        return Flag(path_to_one(at))
    keys = at.keys("path", "map", "value")
    if keys.only_one("path", "value") == "value":
        return Flag(None, literal=keys.found["value"].flag())
    table = keys.read("map", lambda inside: tuple((key.scalar(), value.flag()) for key, value in inside.table()), ())
    return Flag(keys.read("path", path_to_one, NOWHERE), table)


def identity(keys: Keys | None, at: Cursor, captured: frozenset[str], tenant: str | None) -> Identity:
    """Whose it is. What isn't given is the topic's capture of that name."""
    found = {level: _level(keys, at, level, captured, tenant) for level in LEVELS}
    return Identity(**found)


def _level(keys: Keys | None, at: Cursor, level: str, captured: frozenset[str], tenant: str | None) -> Template:
    inside = keys.get(level) if keys else None
    if inside is not None:
        found = template(inside)
        _check_literal(inside, found)
        return found
    if level == "tenant" and tenant is not None:
        return Template(tenant, (tenant,))
    if level not in captured:
        where = keys.at if keys else at
        path = f"{where.where}.{level}" if keys else f"{where.where}.identity.{level}"
        what = 'missing: "{name}" for a capture of the topic, "{.path}" for a value of the payload, or a string'
        where.reader.fault(where.node, path, what)
    return Template(f"{{{level}}}", _capture_part(level))


def _capture_part(level: str) -> tuple[str | Reference, ...]:
    return (Reference(Path(f"@{level}", Root.CAPTURE, (Key(level),))),)


def _check_literal(at: Cursor, found: Template) -> None:
    if found.literal is not None and not 1 <= len(found.literal) <= NAME_MAX:
        at.fault(f"{quoted(found.literal)} has {len(found.literal)} characters; 1 to {NAME_MAX} are allowed")
