"""A route, drafted: what it is as data, and as YAML with a comment wherever a person should look."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from traksense_ingest.ops.mapping.draft import yaml
from traksense_ingest.ops.mapping.draft.identity import DEVICE, SITE, TENANT
from traksense_ingest.ops.mapping.draft.points import Entry, readings_of, time_entry
from traksense_ingest.ops.mapping.draft.samples import Form, Group
from traksense_ingest.ops.mapping.draft.times import Time, time_of
from traksense_ingest.ops.mapping.draft.topics import Addressed, wider
from traksense_ingest.shared.mapping.decoding import FormatName

RECEIVED = {"missing": "received", "received": {"round": "1s"}}
_COMMENTS = {
    "site": "where the device is: no message says it",
    "device": "is this what tells devices apart?",
    "tz": "the time zone of the device's clock, as America/Sao_Paulo",
    "received": "no time is in the payload: when it was received",
}


@dataclass
class Drafted:
    """A route. `comments` are by the key that they are written behind."""

    name: str
    topic: str
    when: tuple[str, ...]
    decode: str | None
    records: str | None
    tenant: str
    identity: dict[str, str]
    time: Any
    meta: dict[str, str]
    points: list[Entry]
    comments: dict[str, str] = field(default_factory=dict)
    is_tenant_guessed: bool = False


def drafted(name: str, addressed: Addressed, is_simple: bool = False) -> Drafted:
    """The route of a group. A simple one stores every value under its path at the time of its receipt."""
    group, identity = addressed.group, addressed.identity
    received = [sample.message.received for sample in group.samples]
    time = None if is_simple or group.form is not Form.OBJECT else time_of(group.documents, received)
    is_records = group.form is Form.ARRAY
    readings = readings_of(group, identity, time)
    if is_records and "each" in readings.points[0]:
        is_records = False
    elif is_records:
        time = None if is_simple else _time_of_records(addressed)
        readings = readings_of(group, identity, time)
    is_plain = is_simple and group.form in (Form.OBJECT, Form.ARRAY)
    return Drafted(
        name=name,
        topic=addressed.topic,
        when=addressed.when,
        decode=_decode(group),
        records="[*]" if is_records else None,
        tenant=identity.templates[TENANT],
        identity=_identity(addressed),
        time=_time(group.form, time),
        meta={} if is_plain else readings.meta,
        points=[{"leaves": "."}] if is_plain else readings.points,
        comments=_comments(addressed, group.form, time),
        is_tenant_guessed=TENANT in identity.guessed,
    )


def _decode(group: Group) -> str | None:
    if group.form in (Form.TEXT, Form.SENML):
        return group.form.value
    return None if group.format is FormatName.JSON else group.format.value


def _time_of_records(addressed: Addressed) -> Time | None:
    items = [(item, sample) for sample in addressed.group.samples for item in sample.document]
    return time_of([item for item, _ in items], [sample.message.received for _, sample in items])


def _identity(addressed: Addressed) -> dict[str, str]:
    """Templates that are not the topic's captures of the same names."""
    found = {}
    for role in (SITE, DEVICE):
        template = addressed.identity.templates[role]
        if template != f"{{{role}}}":
            found[role] = template
    return found


def _time(form: Form, time: Time | None) -> Any:
    if form is Form.SENML:
        return {"path": "base_time", "format": "unix", "missing": "received"}
    return dict(RECEIVED) if time is None else time_entry(time)


def _comments(addressed: Addressed, form: Form, time: Time | None) -> dict[str, str]:
    found = {role: _COMMENTS[role] for role in (SITE, DEVICE) if role in addressed.identity.guessed}
    if others := wider(addressed):
        value, topic = map(yaml.quoted, others)
        what = "every site; then leave out site below" if SITE in addressed.identity.guessed else "every other, too"
        found["topics"] = f"only {value} was seen here: {topic} would read {what}"
    if form is Form.SENML:
        return found
    if time is None:
        found["time"] = _COMMENTS["received"]
    elif time.is_local:
        found["time"] = _COMMENTS["tz"]
    return found


def lines(route: Drafted, tenant: str | None = None) -> Iterator[str]:
    """As YAML, an item of `routes`; `tenant` where the file's isn't this route's."""
    yield f"  - name: {yaml.text(route.name)}"
    if "topics" in route.comments:
        yield f"    # {route.comments['topics']}"
    yield f"    topics: {yaml.quoted(route.topic)}"
    if route.when:
        yield f"    when: {yaml.flow(dict.fromkeys(route.when, 'exists'))}"
    if route.decode:
        yield f"    decode: {route.decode}"
    if route.records:
        yield f"    records: {yaml.quoted(route.records)}"
    yield from _identity_lines(route, tenant)
    yield f"    time: {yaml.flow(route.time)}{_comment(route, 'time')}"
    if route.meta:
        yield f"    meta: {yaml.flow(route.meta)}"
    yield "    points:"
    yield from (f"      - {yaml.flow(entry)}" for entry in route.points)


def _identity_lines(route: Drafted, tenant: str | None) -> Iterator[str]:
    identity = ({TENANT: tenant} if tenant else {}) | route.identity
    if identity:
        yield "    identity:"
        yield from (f"      {role}: {yaml.text(text)}{_comment(route, role)}" for role, text in identity.items())
    if DEVICE in route.comments and DEVICE not in identity:
        yield f"    # {{device}}: {route.comments[DEVICE]}"


def _comment(route: Drafted, key: str) -> str:
    return f"  # {route.comments[key]}" if key in route.comments else ""
