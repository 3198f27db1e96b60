"""`tenant`: who says whose a message is. A device must not choose."""

from __future__ import annotations

from dataclasses import dataclass

from traksense_ingest.shared.mapping.faults import listed, quoted
from traksense_ingest.shared.mapping.filled import is_of_topic
from traksense_ingest.shared.mapping.model import Tenant, TenantFrom
from traksense_ingest.shared.mapping.read.cursor import Cursor
from traksense_ingest.shared.mapping.text import Template

_PAYLOAD_NEEDS = "tenant: {from: payload, one_of: […]} is needed: a device must not choose its tenant freely"


@dataclass(frozen=True, slots=True)
class TenantRule:
    """What a file says of its tenant; without `origin` it is what `identity.tenant` shows, but not the payload."""

    origin: TenantFrom | None = None
    literal: str | None = None
    one_of: tuple[str, ...] | None = None

    def of(self, at: Cursor, template: Template, captured: frozenset[str]) -> Tenant:
        """The rule of a route with this `identity.tenant`."""
        actual = _origin(template, captured)
        if self.origin is None and actual is TenantFrom.PAYLOAD:
            at.fault(f"identity.tenant is from the payload, so {_PAYLOAD_NEEDS}")
        elif self.origin is not None and _rank(actual) > _rank(self.origin):
            at.fault(f"identity.tenant {quoted(template.text)} is from the {actual}, but tenant is from: {self.origin}")
        if template.literal and self.one_of is not None and template.literal not in self.one_of:
            at.fault(f"identity.tenant {quoted(template.literal)} is not one of {listed(self.one_of)}")
        return Tenant(self.origin or actual, self.one_of)


def tenant(at: Cursor) -> TenantRule:
    """A tenant's name, or `{from: topic}`."""
    if not at.is_object:
        name = at.text("a tenant, or where it comes from, such as {from: topic}")
        return TenantRule(TenantFrom.LITERAL, name, (name,))
    keys = at.keys("from", "value", "one_of")
    inside = keys.required("from", listed(list(TenantFrom)))
    origin = inside.choice(TenantFrom) if inside else None
    one_of = keys.read("one_of", _one_of, None)
    if origin is TenantFrom.PAYLOAD and one_of is None:
        keys.required("one_of", "the tenants that the payload may name")
    if "value" in keys and origin is not TenantFrom.LITERAL:
        keys.found["value"].fault("only together with from: literal")
    value = keys.read("value", Cursor.text, None)
    if value is not None and origin is TenantFrom.LITERAL and one_of is None:
        one_of = (value,)
    return TenantRule(origin, value, one_of)


def _one_of(at: Cursor) -> tuple[str, ...]:
    """A list, or one string such as `acme|umc`, so that a variable can be it."""
    found = [name.strip() for item in at.one_or_more() for name in item.text("a tenant").split("|")]
    if not all(found) or not found:
        at.fault("expected the name of a tenant, found an empty string")
    return tuple(dict.fromkeys(found))


def _origin(template: Template, captured: frozenset[str]) -> TenantFrom:
    if is_of_topic(template, captured):
        return TenantFrom.TOPIC if template.references else TenantFrom.LITERAL
    return TenantFrom.PAYLOAD


def _rank(origin: TenantFrom) -> int:
    return list(TenantFrom).index(origin)
