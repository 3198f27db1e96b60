"""Which levels of the topics, or which fields, say whose a message is and what it measures."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from traksense_ingest.ops.mapping.draft.samples import Form, Group, Keys, all_fields, values_at, words
from traksense_ingest.shared.messages import NAME_MAX, ROOT

TENANT, SITE, DEVICE, POINT = "tenant", "site", "device", "point"

# Literal levels before one that is a tenant, a site, a device.
_BEFORE = {
    TENANT: words("tenant tenants org orgs organization organizations customer customers company t"),
    SITE: words("site sites plant plants location locations building buildings room rooms farm store group s"),
    DEVICE: words("device devices asset assets node nodes thing things gateway gateways sensor sensors machine eui d"),
}
_WORDS = frozenset(word for words in _BEFORE.values() for word in words)
# Levels that say what kind of message it is.
_KINDS = frozenset(
    words(
        "telemetry telem data status state stat tele up uplink event events json raw values value "
        "readings reading report info out pub publish sensor sensors attributes rx update v1 v2 v3 mqtt iot "
        "measurements measurement"
    )
)
# Fields, without - and _, that name the device, those that are most surely one first; and the others.
_DEVICE_FIELDS = words(
    "deviceid devid device deveui deviceeui serialnumber serial sn mac macaddress imei eui nodeid node thingid "
    "sensorid assetid gatewayid clientid uid uuid hostname host id"
)
_SITE_FIELDS = words("site siteid sitename plant plantid location building room")
_TENANT_FIELDS = words("tenant tenantid org orgid organization customer customerid")


@dataclass
class Identity:
    """What was found: captures by the level of the topic, templates, and the fields that are no readings."""

    captures: dict[int, str] = field(default_factory=dict)
    unnamed: set[int] = field(default_factory=set)  # levels that vary and say nothing
    templates: dict[str, str] = field(default_factory=dict)
    guessed: set[str] = field(default_factory=set)  # which of tenant, site and device a person should look at
    fields: set[Keys] = field(default_factory=set)
    constant: int | None = None  # a level of which one value was seen, and others may come

    def capture(self, level: int, name: str) -> None:
        """A level of the topic is it."""
        self.captures[level] = name
        self.templates[name] = f"{{{name}}}"


def identity_of(group: Group, tenant: str | None) -> Identity:
    """The best guess; `tenant` is the tenant's name, if it is known."""
    levels = [list(column) for column in zip(*(sample.levels for sample in group.samples), strict=True)]
    return _Finder(group, levels).find(tenant)


class _Finder:
    def __init__(self, group: Group, levels: Sequence[list[str]]) -> None:
        self._group = group
        self._levels = levels
        self._found = Identity()
        self._documents = group.documents
        self._fields = [keys for keys in all_fields(self._documents) if self._is_name(keys)]

    def find(self, tenant: str | None) -> Identity:
        self._levels_of_version_1(tenant)
        if tenant is None:
            self._named_level(TENANT)
        self._named_level(SITE)
        self._named_level(DEVICE)
        self._levels_in_payload()
        if self._names_point():
            self._point()
        self._device()
        self._site()
        self._rest(tenant)
        return self._found

    def _is_name(self, keys: Keys) -> bool:
        return all(is_name(value) for value in values_at(self._documents, keys))

    def _free(self) -> Iterator[int]:
        return (
            index
            for index, column in enumerate(self._levels)
            if index not in self._found.captures
            and all(map(is_name, column))
            and not (index == 0 and _is_hidden(column))
        )

    def _varies(self, index: int) -> bool:
        return len(set(self._levels[index])) > 1

    def _levels_of_version_1(self, tenant: str | None) -> None:
        """traksense/tenant/site/device/kind: its names, whatever the payload is."""
        if len(self._levels) != 5 or set(self._levels[0]) != {ROOT}:
            return
        free = {*self._free()}
        for index, role in enumerate((TENANT, SITE, DEVICE), start=1):
            if index in free and (role != TENANT or tenant is None):
                self._found.capture(index, role)

    def _named_level(self, role: str) -> None:
        """A level behind a literal one that says what it is: devices/{device}."""
        if role in self._found.templates:
            return
        for index in self._free():
            before = set(self._levels[index - 1]) if index else set()
            if len(before) == 1 and before.pop().lower() in _BEFORE[role] and not self._says_kind(index):
                self._found.capture(index, role)
                return

    def _says_kind(self, index: int) -> bool:
        words = {value.lower() for value in self._levels[index]}
        return words <= (_KINDS | _WORDS)

    def _levels_in_payload(self) -> None:
        """A level that a field repeats in every message."""
        for index in self._free():
            for keys in self._fields:
                if list(map(str, values_at(self._documents, keys))) == self._levels[index]:
                    role = _role_of(keys[-1])
                    if role not in self._found.templates and role != TENANT:
                        self._found.capture(index, role)
                        self._found.fields.add(keys)
                    break

    def _names_point(self) -> bool:
        """Whether the topic, not the payload, says what is measured."""
        if self._group.form in (Form.SCALAR, Form.TEXT):
            return True
        return self._group.form is Form.OBJECT and all(is_one_value(document) for document in self._documents)

    def _point(self) -> None:
        last = len(self._levels) - 1
        candidates = [index for index in self._free() if not self._says_kind(index) and (index or not last)]
        if varying := [index for index in candidates if self._varies(index)]:
            self._found.capture(varying[-1], POINT)
        elif candidates and candidates[-1] > min(self._found.captures, default=0):
            self._found.capture(candidates[-1], POINT)

    def _device(self) -> None:
        if DEVICE in self._found.templates:
            return
        if keys := self._field(_DEVICE_FIELDS[:-3]):
            self._from_payload(DEVICE, keys)
        elif (index := self._likely_level()) is not None:
            self._found.capture(index, DEVICE)
        elif self._group.form is Form.SENML:
            self._found.templates[DEVICE] = "{.base}"
        elif keys := self._field(_DEVICE_FIELDS[-3:]):
            self._from_payload(DEVICE, keys)
        elif others := [index for index in self._free() if not self._says_kind(index)]:
            self._found.capture(others[-1], DEVICE)
            self._found.guessed.add(DEVICE)
        else:
            self._found.templates[DEVICE] = "device"
            self._found.guessed.add(DEVICE)

    def _likely_level(self) -> int | None:
        """Of those that vary the one with the most values; else one that looks like a number of a device."""
        free = [index for index in self._free() if not self._says_kind(index)]
        varying = [index for index in free if self._varies(index)]
        if varying:
            return max(varying, key=lambda index: (len(set(self._levels[index])), index))
        numbers = [index for index in free if sum(char.isdigit() for char in self._levels[index][0]) >= 2]
        return numbers[-1] if numbers else None

    def _site(self) -> None:
        if SITE in self._found.templates:
            return
        device = next((index for index, name in self._found.captures.items() if name == DEVICE), len(self._levels))
        before = [index for index in self._free() if index < device and self._varies(index)]
        if before:
            self._found.capture(before[-1], SITE)
        elif keys := self._field(_SITE_FIELDS):
            self._from_payload(SITE, keys)
        else:
            self._found.templates[SITE] = "main"
            self._found.guessed.add(SITE)

    def _rest(self, tenant: str | None) -> None:
        if TENANT not in self._found.templates:
            self._found.templates[TENANT] = tenant or "main"
            if tenant is None:
                self._found.guessed.add(TENANT)
        for index in range(len(self._levels)):
            is_written = all(set(value).isdisjoint("{}") for value in self._levels[index])
            if index not in self._found.captures and (self._varies(index) or not is_written):
                self._found.unnamed.add(index)
        self._found.constant = self._constant()

    def _constant(self) -> int | None:
        """The last level before the device, but the first one, that could be another one elsewhere."""
        device = next((index for index, name in self._found.captures.items() if name == DEVICE), 0)
        levels = [index for index in self._free() if 0 < index < device and index not in self._found.unnamed]
        return next((index for index in reversed(levels) if not self._says_kind(index)), None)

    def _field(self, names: Collection[str]) -> Keys | None:
        if self._group.form is Form.SENML:
            return None
        for name in names:
            for keys in self._fields:
                if _normal(keys[-1]) == name and keys not in self._found.fields:
                    return keys
        return None

    def _from_payload(self, role: str, keys: Keys) -> None:
        self._found.templates[role] = f"{{.{'.'.join(keys)}}}"
        self._found.fields.add(keys)


def _is_hidden(column: Sequence[str]) -> bool:
    """First levels as $aws, which only their own names match."""
    return any(level.startswith("$") for level in column)


def is_name(value: Any) -> bool:
    """Whether a value can be a tenant's, a site's or a device's name."""
    if isinstance(value, int) and not isinstance(value, bool):
        return abs(value) < 10**15
    return isinstance(value, str) and 1 <= len(value) <= NAME_MAX and value.isprintable()


VALUE_KEYS = ("value", "val", "v", "reading")
UNIT_KEYS = ("unit", "units", "uom", "u")
_AROUND = frozenset({"ts", "time", "timestamp", "t", "quality", "q", "type", "status"})


def is_one_value(document: Any) -> bool:
    """`{"value": 22.5, "unit": "celsius"}`: one reading, whose name is not there."""
    if not isinstance(document, dict) or any(isinstance(value, dict | list) for value in document.values()):
        return False
    keys = {key.lower() for key in document}
    return len(keys & {*VALUE_KEYS}) == 1 and keys <= {*VALUE_KEYS, *UNIT_KEYS, *_AROUND}


def _normal(key: str) -> str:
    return key.lower().replace("_", "").replace("-", "")


def _role_of(key: str) -> str:
    name = _normal(key)
    return SITE if name in _SITE_FIELDS else TENANT if name in _TENANT_FIELDS else DEVICE
