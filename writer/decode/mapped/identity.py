"""Whose reading it is: tenant, site and device, with the same rules as for the levels of a v1 topic."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Any

from traksense_ingest.shared.mapping.model import Identity, Tenant
from traksense_ingest.shared.mapping.text import Template
from traksense_ingest.shared.messages import NAME_MAX
from traksense_ingest.writer.decode.mapped.scope import Scope
from traksense_ingest.writer.decode.mapped.templates import NoText, compile_template, names_captured, reads_payload
from traksense_ingest.writer.decode.mapped.wording import listed, printable
from traksense_ingest.writer.outcome import Poison

KEPT_MAX = 10_000  # names that are known to be good, of each level

Identify = Callable[[Any, Scope], tuple[str, str, str]]  # tenant, site, device; raises Poison
Name = Callable[[Any, Scope], str]


def compile_identity(identity: Identity, tenant: Tenant, label: str) -> Identify:
    """Who a record is of."""
    tenant_of = compile_name(identity.tenant, "tenant", label, tenant.one_of)
    site_of = compile_name(identity.site, "site", label)
    device_of = compile_name(identity.device, "device", label)
    return lambda record, scope: (tenant_of(record, scope), site_of(record, scope), device_of(record, scope))


def compile_name(template: Template, level: str, label: str, one_of: tuple[str, ...] | None = None) -> Name:
    """A name of one level; raises Poison, of the topic's class where only the topic decides it."""
    text_of = compile_template(template)
    reason = "parse_error" if reads_payload(template) or not names_captured(template) else "invalid_topic"
    where = f"{label}: identity.{level}"
    good: dict[str, str] = {}

    def name(record: Any, scope: Scope) -> str:
        text = text_of(record, scope)
        known = good.get(text)  # type: ignore[arg-type]
        if known is not None:
            return known
        if isinstance(text, NoText):
            raise Poison(reason, where, text.why)
        if wrong := _why_not(text, one_of):
            raise Poison(reason, where, wrong)
        if len(good) < KEPT_MAX:
            good[text] = text
        return text

    return name


def _why_not(name: str, one_of: tuple[str, ...] | None) -> str | None:
    if not 1 <= len(name) <= NAME_MAX:
        return f"should have 1 to {NAME_MAX} characters, has {len(name)}"
    if not name.isprintable() and any(unicodedata.category(char) == "Cc" for char in name):
        return "should have no control characters"
    if one_of is not None and name not in one_of:
        return f"{printable(name)} is not one of {listed(one_of)}"
    return None
