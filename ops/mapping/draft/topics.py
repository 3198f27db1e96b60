"""The topic filter of a group, and what tells groups apart that share one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from traksense_ingest.ops.mapping.draft.identity import SITE, Identity, identity_of
from traksense_ingest.ops.mapping.draft.samples import Form, Group, Sample, is_plain


@dataclass(frozen=True, slots=True)
class Addressed:
    """A group with its topic filter. `when` are keys that its payloads have and those of other groups don't."""

    group: Group
    identity: Identity
    topic: str
    when: tuple[str, ...] = ()


def addressed(groups: Sequence[Group], tenant: str | None) -> list[Addressed]:
    """Each message is taken by the route of its own group; groups that nothing tells apart are made one."""
    found: list[Addressed] = []
    for group in groups:
        found = _with(found, group, tenant)
    return found


def _with(found: list[Addressed], group: Group, tenant: str | None) -> list[Addressed]:
    added = _addressed(group, tenant)
    for index, other in enumerate(found):
        if not (_takes_any(other, group.samples) or _takes_any(added, other.group.samples)):
            continue
        first, second = _distinguishing(other, added), _distinguishing(added, other)
        if second or first:
            found[index] = _with_key(other, first) if first else other
            if second and not first:
                return [*found[:index], _with_key(added, second), *found[index:]]  # tried before the other
            continue
        if other.group.format is not added.group.format:
            continue
        merged = Group(_common_form(other.group.form, group.form), (*other.group.samples, *group.samples))
        return _with([*found[:index], *found[index + 1 :]], merged, tenant)
    return [*found, added]


def _addressed(group: Group, tenant: str | None) -> Addressed:
    identity = identity_of(group, tenant)
    return Addressed(group, identity, "/".join(_levels(group, identity)))


def _levels(group: Group, identity: Identity) -> list[str]:
    return [
        f"{{{identity.captures[index]}}}" if index in identity.captures else "+" if index in identity.unnamed else level
        for index, level in enumerate(group.samples[0].levels)
    ]


def wider(route: Addressed) -> tuple[str, str] | None:
    """The value of a level of which one was seen, and the topic that reads others too, as the site if it can be."""
    identity, index = route.identity, route.identity.constant
    if index is None:
        return None
    levels = _levels(route.group, identity)
    value, levels[index] = levels[index], "{site}" if SITE in identity.guessed else "+"
    return value, "/".join(levels)


def _takes_any(route: Addressed, samples: Sequence[Sample]) -> bool:
    return any(matches(route.topic, sample.levels) for sample in samples)


def matches(topic: str, levels: Sequence[str]) -> bool:
    """Whether a topic with these levels is one of the filter's."""
    wanted = topic.split("/")
    if levels[0].startswith("$") and wanted[0] != levels[0]:
        return False
    return len(wanted) == len(levels) and all(
        level in (name, "+") or (level.startswith("{") and name != "")
        for level, name in zip(wanted, levels, strict=True)
    )


def _distinguishing(one: Addressed, other: Addressed) -> str | None:
    """A key that all payloads of one group have, and none of the other's. What is there and null doesn't exist."""
    if Form.OBJECT not in (one.group.form, other.group.form) or one.group.form is not Form.OBJECT:
        return None
    common = frozenset.intersection(*(_present(sample) for sample in one.group.samples))
    others = frozenset().union(*(sample.keys for sample in other.group.samples))
    if one.group.format is not other.group.format:
        others = frozenset()  # what can't be read has no key
    return min((key for key in common - others if is_plain(key)), default=None)


def _present(sample: Sample) -> frozenset[str]:
    return frozenset(key for key, value in sample.document.items() if value is not None)


def _with_key(route: Addressed, key: str | None) -> Addressed:
    keys = dict.fromkeys((*route.when, *([key] if key else [])))
    return Addressed(route.group, route.identity, route.topic, tuple(keys))


def _common_form(one: Form, other: Form) -> Form:
    both = {one, other}
    if len(both) == 1:
        return one
    if both <= {Form.SCALAR, Form.TEXT}:
        return Form.TEXT
    return Form.ARRAY if both <= {Form.SENML, Form.ARRAY} else Form.MIXED
