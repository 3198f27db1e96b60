"""`routes`, parsed."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, cast, get_args

from traksense_ingest.shared.mapping.decoding import FormatName
from traksense_ingest.shared.mapping.model import Identity, Kind, Route, Tenant, TenantFrom
from traksense_ingest.shared.mapping.points import AnyPoint, Missing, TimeRule
from traksense_ingest.shared.mapping.read import captures, kinds
from traksense_ingest.shared.mapping.read.cursor import Cursor, Keys
from traksense_ingest.shared.mapping.read.decode import JSON, FileReader, decode, default_unpack, envelope, unpack
from traksense_ingest.shared.mapping.read.paths import path, template
from traksense_ingest.shared.mapping.read.points import PointReader, distinct_by
from traksense_ingest.shared.mapping.read.tenant import TenantRule
from traksense_ingest.shared.mapping.read.topics import topics
from traksense_ingest.shared.mapping.read.values import conditions, time_rule
from traksense_ingest.shared.mapping.text import Root, Template

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}", re.ASCII)
ANY_ROUTE = ("name", "topics", "except_topics", "when", "decode", "unpack", "shard")
OF_KIND = ("ack", "event", "state")
OF_ROWS = ("kind", "identity", "records", "time", "meta", "points", "distinct_by", *OF_KIND)
ROUTE_KEYS = (*ANY_ROUTE, "ignore", "envelope", *OF_ROWS)
DEFAULTS = tuple(key for key in ROUTE_KEYS if key not in ("name", "topics", "points"))
POINTS_MAX = 1000


@dataclass(frozen=True, slots=True)
class RouteReader:
    """Reads the routes of one file."""

    mapping: str
    tenant: TenantRule
    shard: Cursor | None
    defaults: Mapping[str, Cursor]
    files: FileReader

    def route(self, at: Cursor) -> Route:
        """One route."""
        own = at.keys(*ROUTE_KEYS, what="a route")
        keys = Keys(at, {**self.defaults, **own.found})
        name = keys.required("name", "it is in the reasons of dead letters")
        on = keys.required("topics", "a topic filter or a list of them, such as plant/{site}/{device}/data")
        patterns = topics(on) if on else ()
        captured = captures.of_topics(patterns)
        common = {
            "mapping": self.mapping,
            "name": name.matching(NAME, "a name of lower case letters, digits, - and _") if name else "",
            "place": at.place,
            "topics": patterns,
            "except_topics": keys.read("except_topics", topics, ()),
            "when": keys.read("when", conditions, ()),
            **self._decoding(keys),
        }
        reader = _Scope(self, own, keys, captured, {name for pattern in patterns for name in pattern.captures})
        return reader.finish(common)

    def _decoding(self, keys: Keys) -> dict[str, Any]:
        found = keys.read("decode", lambda at: decode(at, self.files), JSON)
        return {"decode": found, "unpack": keys.read("unpack", unpack, default_unpack(found))}


@dataclass(frozen=True, slots=True)
class _Scope:
    """A route that is being read; `own` are the keys that are not from `defaults`."""

    file: RouteReader
    own: Keys
    keys: Keys
    captured: frozenset[str]  # by each of its topics
    some: Collection[str]  # by any of them

    def finish(self, common: dict[str, Any]) -> Route:
        shard = self._shard(common["topics"] != ())
        keys = self.keys
        self._check_when(common)
        if keys.read("ignore", Cursor.flag, False):
            self._refuse((*OF_ROWS, "envelope"), "an ignored message has no rows")
            return Route(**common, tenant=self._any_tenant(), shard=shard, ignore=True)
        if "envelope" in keys:
            self._refuse([key for key in OF_ROWS if key != "time"], "the rows are those of the message inside")
            inside, time = keys.read("envelope", envelope, None), keys.read("time", time_rule, None)
            return Route(**common, tenant=self._any_tenant(), shard=shard, envelope=inside, time=time)
        return self._with_rows(common, shard)

    def _with_rows(self, common: dict[str, Any], shard: Template | None) -> Route:
        keys = self.keys
        records = keys.read("records", path, None)
        captures.check_new(keys.get("records"), captures.of_path(records), self.some)
        known = self.captured | captures.of_path(records)
        kind = cast(Kind, keys.read("kind", lambda at: at.one_of(get_args(Kind)), "telem"))
        identity = self._identity(known)
        tenant_at = self._place_of_tenant()
        found: dict[str, Any] = {
            "tenant": self.file.tenant.of(tenant_at, identity.tenant, self.captured),
            "identity": identity,
            "kind": kind,
        }
        if common["decode"].format is FormatName.V1 and common["decode"].source is None:
            self._check_v1()
            return Route(**common, **found, shard=shard)
        if kind == "cmd" and (at := keys.get("kind")):
            at.fault("only version 1 has it: decode: v1")
        return Route(**common, **found, **self._rows(kind, known), shard=shard, records=records)

    def _rows(self, kind: Kind, known: frozenset[str]) -> dict[str, Any]:
        keys = self.keys
        found: dict[str, Any] = {
            "time": self._time(kind),
            "meta": keys.read("meta", kinds.fields, ()),
            "points": self._points(kind, known),
            "ack": self._of_kind(kind, "ack", kinds.ack),
            "event": self._of_kind(kind, "event", kinds.event),
            "state": self._of_kind(kind, "state", kinds.state),
        }
        for key in ("time", "meta", *OF_KIND):
            captures.check(keys.get(key), found[key], known, self.some)
        return found

    def _identity(self, known: frozenset[str]) -> Identity:
        at = self.keys.get("identity")
        keys = at.keys(*kinds.LEVELS, what='an object such as {site: home, device: "{id}"}') if at else None
        found = kinds.identity(keys, self.keys.at, known, self.file.tenant.literal)
        for level in kinds.LEVELS:
            if keys and level in keys:
                captures.check(keys.get(level), getattr(found, level), known, self.some)
        return found

    def _place_of_tenant(self) -> Cursor:
        at = self.keys.get("identity")
        table = {key.written: value for key, value in at.table()} if at and at.is_object else {}
        return table.get("tenant", at or self.keys.at)

    def _time(self, kind: Kind) -> TimeRule | None:
        missing = {"ack": Missing.NONE, "state": Missing.RECEIVED}.get(kind, Missing.REJECT)
        if at := self.keys.get("time"):
            return time_rule(at, missing)
        if missing is Missing.REJECT:
            self.keys.required("time", "a path, or `received` for the time of receipt")
        return TimeRule(missing=missing)

    def _points(self, kind: Kind, known: frozenset[str]) -> tuple[AnyPoint, ...]:
        at = self.keys.get("points")
        if kind != "telem":
            if at:
                at.fault(f"points are only for kind telem, not for {kind}")
            return ()
        if at is None:
            self.keys.required("points", "a list such as [{path: temperature}], or [] for none")
            return ()
        entries = at.items("a list of points")
        if len(entries) > POINTS_MAX:
            at.fault(f"{len(entries)} entries; at most {POINTS_MAX} are allowed")
        reader = PointReader(self.keys.read("distinct_by", distinct_by, False))
        found = [(entry, reader.point(entry)) for entry in entries]
        for entry, point in found:
            own = captures.of_point(point) if point else frozenset[str]()
            captures.check_new(entry, own, {*known, *self.some})
            captures.check(entry, point, known | own, self.some)
        return tuple(point for _, point in found if point)

    def _of_kind(self, kind: Kind, key: str, read: Any) -> object:
        if kind == key:
            at = self.keys.required(key, f"a route of kind {kind} needs it")
            return read(at) if at else None
        if at := self.own.get(key):
            at.fault(f"only for kind {key}, this route is of kind {kind}")
        return None

    def _shard(self, has_topics: bool) -> Template | None:
        at = self.keys.get("shard") or self.file.shard
        found = template(at) if at else None
        if found and at and has_topics:
            captures.check(at, found, self.captured, self.some)
            if any(path.root is not Root.CAPTURE for path in found.paths):
                at.fault("a shard can only use the topic's captures: nothing is decoded yet")
        return found

    def _check_when(self, common: dict[str, Any]) -> None:
        captures.check(self.keys.get("when"), common["when"], self.captured, self.some)

    def _check_v1(self) -> None:
        self._refuse(("records", "time", "meta", "points", "distinct_by", *OF_KIND), "version 1 itself has it")

    def _refuse(self, names: Collection[str], why: str) -> None:
        for name in names:
            if at := self.own.get(name):
                at.fault(f"not allowed here: {why}")

    def _any_tenant(self) -> Tenant:
        """Of a route without rows: the tenants that are allowed, if the file says which."""
        rule = self.file.tenant
        return Tenant(rule.origin or TenantFrom.TOPIC, rule.one_of)
