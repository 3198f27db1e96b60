"""A route, compiled: from a document to rows. `Bound` adds what a topic captures, once for each topic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, cast

from traksense_ingest.shared.mapping.decoding import FormatName, Packing
from traksense_ingest.shared.mapping.filled import is_of_topic
from traksense_ingest.shared.mapping.model import Route
from traksense_ingest.shared.mapping.points import Condition, Equal, Missing, TimeRule
from traksense_ingest.shared.mapping.text import Key, Path, Root, Template
from traksense_ingest.shared.messages import RETAINED
from traksense_ingest.writer.decode.mapped.collected import Collected, check_texts, count_of
from traksense_ingest.writer.decode.mapped.conditions import compile_conditions
from traksense_ingest.writer.decode.mapped.fields import are_of_topic, compile_fields
from traksense_ingest.writer.decode.mapped.identity import Identify, Name, compile_identity, compile_name
from traksense_ingest.writer.decode.mapped.kinds import Made, Who, compile_ack, compile_event, compile_state
from traksense_ingest.writer.decode.mapped.paths import Items
from traksense_ingest.writer.decode.mapped.points import makes_captures
from traksense_ingest.writer.decode.mapped.reached import Reached
from traksense_ingest.writer.decode.mapped.reading import Readers
from traksense_ingest.writer.decode.mapped.scope import Captures, Scope, Wrong
from traksense_ingest.writer.decode.mapped.telem import compile_telem
from traksense_ingest.writer.decode.mapped.times import Moment, RangeCheck, compile_time, words_of
from traksense_ingest.writer.decode.mapped.wording import place_of
from traksense_ingest.writer.decode.topic import LEVELS, Topic, check_name
from traksense_ingest.writer.entry import Entry, moment
from traksense_ingest.writer.outcome import Decoded, Ignored, Poison, Rows, Sighting

NOBODY = Entry("", "0-0", None, None, moment(0), 0)  # of the scope in which a topic's captures are looked at


class _Moments:
    """Compiles time rules; points with the same rule share what comes of it."""

    def __init__(self, check: RangeCheck, label: str) -> None:
        self._check = check
        self._label = label
        self._compiled: dict[tuple[str, Missing | None], Moment] = {}

    def __call__(self, rule: TimeRule, missing: Missing | None = None) -> Moment:
        key = repr(rule), missing  # rules that are equal may differ: an absent value is 0, or false
        if key not in self._compiled:
            self._compiled[key] = compile_time(rule, check=self._check, label=self._label, missing=missing)
        return self._compiled[key]


class CompiledRoute:
    """What a route does, without the topic's part of it."""

    def __init__(self, route: Route, readers: Readers, check: RangeCheck, reached: Reached | None = None) -> None:
        self.route = route
        self.label, self.mapping, self.kind = route.label, route.mapping, route.kind
        self.is_v1 = route.decode.format is FormatName.V1
        self.is_plain_v1 = self.is_v1 and route.kind == "telem" and _takes_version_1(route)
        self.is_sparkplug = route.decode.format is FormatName.SPARKPLUG_B
        self.read = readers.of(route)
        self.when = _compile_when(route.when)
        self.topic_captures = {name for pattern in route.topics for name in pattern.captures}
        self.copies_captures = route.records is not None or any(map(makes_captures, route.points))
        compile_moment = _Moments(check, route.label)
        self._records = Items(route.records, keeps_key=True) if route.records else None
        missing = Missing.NONE if route.kind == "ack" and route.time is None else None
        self._moment: Moment | None = compile_moment(route.time, missing=missing) if route.time else None
        self._time_words = words_of(route.time) if route.time else "time"
        self._identify = self._compile_identity()
        self._tenant = self._compile_tenant()
        self._meta = compile_fields(route.meta, f"{route.label}: meta")
        self._reached = reached
        self._made = self._compile_kind(compile_moment) if self._identify else None

    def decoded(self, bound: Bound, scope: Scope, unpacked: int) -> Decoded | Ignored:
        """Rows of a message; raises Poison."""
        entry = scope.entry
        try:
            if self._records is None:
                rows, devices = self._of_message(bound, scope)
            else:
                rows, devices = self._of_records(bound, scope, self._records)
        except Poison as poison:
            if scope.who is not None:
                poison.device = f"{scope.who[0]}/{scope.who[2]}"
            raise
        check_texts(rows, unpacked or len(entry.payload or b""), self.label)
        if entry.retained and scope.device_ts is None and rows and self.kind in ("telem", "event"):
            return Ignored(entry, self.kind, RETAINED, self.mapping)
        return Decoded(entry, self.kind, devices, scope.device_ts, rows, unpacked, scope.same_point, self.mapping)

    def _of_message(self, bound: Bound, scope: Scope) -> tuple[tuple[Rows, ...], tuple[Sighting, ...]]:
        try:
            who, ts, meta, rows = self._of_record(scope.message, bound, scope)
        except Wrong as wrong:
            raise self._poison(wrong, "") from None
        if meta is not None:
            for one in rows:
                scope.take_size(len(meta) * count_of(one), f"{self.label}: meta")
        entry = scope.entry
        seen = (ts or scope.device_ts) if entry.retained else entry.received_at
        if seen is None or not scope.is_online:
            return rows, ()
        tenant, site, device = who
        return rows, (Sighting(tenant, device, site, meta, seen),)

    def _of_records(self, bound: Bound, scope: Scope, records: Items) -> tuple[tuple[Rows, ...], tuple[Sighting, ...]]:
        collected, key = Collected(scope), ""
        try:
            for key, record in records.of(scope.message, scope):  # noqa: B007  (the key of the one that is wrong)
                scope.record = record
                collected.add(*self._of_record(record, bound, scope))
        except Wrong as wrong:
            raise self._poison(wrong, key) from None
        return tuple(collected.rows), tuple(collected.devices.values())

    def _of_record(
        self, record: Any, bound: Bound, scope: Scope
    ) -> tuple[Who, datetime | None, str | None, tuple[Rows, ...]]:
        assert self._identify is not None and self._made is not None  # noqa: S101, PT018  (has rows: the caller's promise)
        who = scope.who = bound.who or self._identify(record, scope)
        ts = self._moment(record, scope) if self._moment else None
        meta = bound.meta if bound.has_meta else self._meta(record, scope) if self._meta else None
        return who, ts, meta, self._made(record, scope, who, ts, meta)

    def _poison(self, wrong: Wrong, key: str) -> Poison:
        below = wrong.below or self._time_words
        if key and self._records is not None and self.route.records is not None:
            below = f"{place_of(self.route.records, key)}: {below}"
        return Poison(wrong.reason, f"{self.label}: {below}", wrong.what)

    def _compile_identity(self) -> Identify | None:
        identity = self.route.identity
        return compile_identity(identity, self.route.tenant, self.label) if identity else None

    def _compile_tenant(self) -> Name | None:
        """Finds the tenant, where the topic alone says it."""
        identity = self.route.identity
        if identity is None or not self._is_of_topic(identity.tenant):
            return None
        return compile_name(identity.tenant, "tenant", self.label, self.route.tenant.one_of)

    def _compile_kind(self, compile_moment: Any) -> Made | None:
        route = self.route
        if self.is_v1 or route.ignore:
            return None
        if route.ack:
            return compile_ack(route.ack, self.label)
        if route.event:
            return compile_event(route.event, self.label)
        if route.state:
            return compile_state(route.state, self.label)
        return compile_telem(route, compile_moment, self._reached)

    def who_of_topic(self, captures: Captures) -> Who | None:
        """Tenant, site and device, where the topic alone says them; raises Poison."""
        identity = self.route.identity
        if identity is None or self._identify is None:
            return None
        if not all(self._is_of_topic(part) for part in (identity.tenant, identity.site, identity.device)):
            return None
        return self._identify(None, Scope(NOBODY, None, captures))

    def tenant_of_topic(self, captures: Captures) -> str | None:
        """The tenant, where the topic alone says it; raises Poison."""
        return self._tenant(None, Scope(NOBODY, None, captures)) if self._tenant else None

    def meta_of_topic(self, captures: Captures) -> tuple[bool, str | None]:
        """Whether the topic alone says the meta, and then it."""
        if self._meta is None or not are_of_topic(self.route.meta, self.topic_captures):
            return self._meta is None, None
        return True, self._meta(None, Scope(NOBODY, None, captures))

    def _is_of_topic(self, template: Template) -> bool:
        return is_of_topic(template, self.topic_captures)


def _takes_version_1(route: Route) -> bool:
    """Whether it takes every payload that says that it is version 1."""
    says_so = all(
        _from_document(each.path).steps == (Key("schema"),)
        and each.path.root is not Root.CAPTURE
        and each.test == Equal(("v1",))
        for each in route.when
    )
    return says_so and route.unpack in ((), (Packing.AUTO,))


def _compile_when(conditions: tuple[Condition, ...]) -> Callable[[Any, Bound], bool] | None:
    """Whether a document is for this route. Its paths all start from the document, so that no scope has to be made."""
    items = tuple(replace(each, path=_from_document(each.path)) for each in conditions)
    return cast(Callable[[Any, Bound], bool] | None, compile_conditions(items))


def _from_document(path: Path) -> Path:
    return path if path.root is Root.CAPTURE else replace(path, root=Root.ITEM)


class Bound:
    """A route for one topic: its captures, and what they alone decide. That is worked out when it is first asked for,
    since few of a topic's candidates ever take a message."""

    __slots__ = ("captures", "has_meta", "meta", "plain_topic", "poison", "route", "tenant", "topic", "who")

    poison: Poison | None  # a topic that is not allowed is poison when a message comes
    topic: Topic | None  # of version 1
    plain_topic: Topic | None  # the same, where a payload of version 1 is all that it has to be
    who: Who | None
    tenant: str | None
    has_meta: bool
    meta: str | None

    def __init__(self, route: CompiledRoute, captures: Captures) -> None:
        self.route = route
        self.captures = captures

    def __getattr__(self, name: str) -> Any:
        """Called for what is not worked out yet."""
        self._work_out()
        return object.__getattribute__(self, name)

    def _work_out(self) -> None:
        route, captures = self.route, self.captures
        self.poison = self.topic = self.plain_topic = self.who = self.tenant = self.meta = None
        self.has_meta = False
        try:
            self.tenant = route.tenant_of_topic(captures)
            self.who = route.who_of_topic(captures)
            self.has_meta, self.meta = route.meta_of_topic(captures)
            self.topic = self._topic() if route.is_v1 else None
            self.plain_topic = self.topic if route.is_plain_v1 else None
        except Poison as poison:
            self.poison = (self._wrong_name() or poison).copy()  # without the frames that its traceback holds

    def _topic(self) -> Topic:
        names = self.who or (self.captures["tenant"], self.captures["site"], self.captures["device"])
        _check_names(names)
        return Topic(*names, self.route.kind)

    def _wrong_name(self) -> Poison | None:
        """What is wrong with the names in a topic of version 1, in its own words."""
        if self.route.is_v1 and set(LEVELS) <= self.captures.keys():
            try:
                _check_names([self.captures[level] for level in LEVELS])
            except Poison as poison:
                return poison
        return None

    def v1_topic(self) -> Topic:
        """The names that a message of version 1 is about; raises Poison."""
        if self.topic is None:
            raise (self.poison or Poison("invalid_topic", "topic", "has no names")).copy()
        return self.topic

    def scope(self, entry: Entry, document: Any) -> Scope:
        """A message's."""
        return Scope(entry, document, dict(self.captures) if self.route.copies_captures else self.captures)


def _check_names(names: Sequence[str]) -> None:
    for level, name in zip(LEVELS, names, strict=True):
        check_name(level, name)
