"""Topics: traksense/{tenant}/{site}/{device}/{kind}."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from sys import intern
from typing import NamedTuple

from traksense_ingest.shared.messages import KINDS, NAME_MAX, ROOT
from traksense_ingest.writer.outcome import Poison

LEVELS = ("tenant", "site", "device")


class Topic(NamedTuple):
    """The names in a topic."""

    tenant: str
    site: str
    device: str
    kind: str


@lru_cache(maxsize=100_000)  # a fleet has few topics, and each device repeats its own
def parse_topic(raw: bytes) -> Topic:
    """The names in a topic; raises Poison("invalid_topic") that says which one is wrong."""
    names = _decode(raw).split("/")
    if len(names) != 5 or names[0] != ROOT:
        raise Poison("invalid_topic", "topic", f"should be {ROOT}/tenant/site/device/kind")
    for level, name in zip(LEVELS, names[1:4], strict=True):
        check_name(level, name)
    if names[4] not in KINDS:
        raise Poison("invalid_topic", "topic.kind", "should be telem, ack, event, state or cmd")
    _, tenant, site, device, kind = names
    return Topic(intern(tenant), intern(site), device, intern(kind))  # one object for the many devices that share it


def tenant_of(raw: bytes | None) -> str | None:
    """The tenant in a topic, even where the rest of it is wrong; None where there is none."""
    try:
        names = _decode(raw or b"").split("/")
        if names[0] != ROOT or len(names) < 2:
            return None
        check_name("tenant", names[1])
    except Poison:
        return None
    return names[1]


def kind_of(raw: bytes | None) -> str:
    """The kind that a topic ends with, or "unknown"."""
    kind = (raw or b"").rpartition(b"/")[2].decode(errors="replace")
    return kind if kind in KINDS else "unknown"


def _decode(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise Poison("invalid_topic", "topic", f"not UTF-8 at byte {error.start}") from None


def check_name(level: str, name: str) -> None:
    """Raise Poison("invalid_topic") where a level can't be a name."""
    if not 1 <= len(name) <= NAME_MAX:
        raise Poison("invalid_topic", f"topic.{level}", f"should have 1 to {NAME_MAX} characters, has {len(name)}")
    if not name.isprintable() and any(unicodedata.category(char) == "Cc" for char in name):
        raise Poison("invalid_topic", f"topic.{level}", "should have no control characters")
