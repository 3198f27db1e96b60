"""All routes of a process: an entry goes to the first one that takes it."""

from __future__ import annotations

from collections.abc import Mapping as Dict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from traksense_ingest.shared.mapping.faults import Fault, MappingError
from traksense_ingest.shared.mapping.mappings import Mappings
from traksense_ingest.shared.mapping.model import Route
from traksense_ingest.shared.mapping.topic_cache import TopicCache
from traksense_ingest.shared.messages import EMPTY, MAPPING, ROOT
from traksense_ingest.writer.decode.decode import Clock, Decoder, reject_for, utc_now
from traksense_ingest.writer.decode.formats import FormatError, FormatLimits
from traksense_ingest.writer.decode.mapped.aliases import Aliases, UnknownAlias, with_names
from traksense_ingest.writer.decode.mapped.envelope import Opener
from traksense_ingest.writer.decode.mapped.reached import Reached
from traksense_ingest.writer.decode.mapped.reading import Read, Readers
from traksense_ingest.writer.decode.mapped.route import Bound, CompiledRoute
from traksense_ingest.writer.decode.mapped.scope import Scope
from traksense_ingest.writer.decode.mapped.times import RangeCheck
from traksense_ingest.writer.decode.mapped.v1 import V1
from traksense_ingest.writer.decode.mapped.wording import listed, printable
from traksense_ingest.writer.decode.topic import Topic, kind_of, parse_topic
from traksense_ingest.writer.entry import Entry
from traksense_ingest.writer.outcome import AwaitsBirth, Decoded, Deferred, Ignored, Outcome, Poison, Rejected

Document = tuple[Any, int, FormatError | None]  # what paths lead into, the unpacked size, or why there is none
PLAIN_BYTES = 32 * 1024 * 1024  # of memory for topics of version 1: some 120 000
BOUNDS_BYTES = 32 * 1024 * 1024  # for all others
PLAIN_OVERHEAD, BOUNDS_OVERHEAD, BOUND_BYTES = 200, 250, 170  # bytes of memory, about, besides a topic's own
NO_DOCUMENTS: Dict[Read, Document] = {}


class MappedRoutes:
    """Decodes entries by the routes of mappings. Nothing of a route is worked out twice, and of a topic only once while
    the router's cache has it."""

    def __init__(
        self,
        mappings: Mappings,
        *,
        max_payload_bytes: int,
        max_future_s: int,
        clock: Clock = utc_now,
        aliases: Aliases | None = None,
        reached: Reached | None = None,
    ) -> None:
        """Raises MappingError for codecs that can't be compiled."""
        self._limits = FormatLimits(max_payload_bytes, max_future_s)
        self._check = RangeCheck(clock, max_future_s)
        self._readers = Readers(self._limits)
        self._reached = reached
        self._aliases = Aliases() if aliases is None else aliases
        self._v1 = V1(Decoder(max_payload_bytes, max_future_s, clock))
        self._has_named = bool(mappings.named)
        routes = mappings.routes
        self._routes = self._compiled(routes)
        self._openers: Dict[str, Opener] = {
            route.label: Opener(route, route.envelope, self._limits, self._check) for route in routes if route.envelope
        }
        self._router = mappings.router()
        self._plain_topics: TopicCache[Topic] = TopicCache(PLAIN_BYTES, _size_of_plain)
        self._bounds: TopicCache[tuple[Bound, ...]] = TopicCache(BOUNDS_BYTES, _size_of_bounds)

    def _compiled(self, routes: Sequence[Route]) -> tuple[CompiledRoute, ...]:
        found, faults = [], []
        for route in routes:
            try:
                found.append(CompiledRoute(route, self._readers, self._check, self._reached))
            except ValueError as error:
                faults.append(Fault(route.place, f"{route.label}: decode", str(error)))
        if faults:
            raise MappingError(faults)
        return tuple(found)

    def decode(self, entry: Entry) -> Outcome:
        """What becomes of an entry. Never raises, whatever the entry holds."""
        try:
            outcome = self.decoded(entry)
        except UnknownAlias as poison:
            return AwaitsBirth(entry, poison.kind or "telem", poison.tenant_id, poison.device_key, str(poison))
        except Poison as poison:
            return self._remembered(reject_for(entry, poison))
        except Exception as error:
            return Deferred(entry, error)
        return self._remembered(outcome)

    def _remembered(self, outcome: Outcome) -> Outcome:
        """The same, once what it says of aliases is known."""
        if isinstance(outcome, Decoded | Rejected) and outcome.birth is not None:
            self._aliases.learn(outcome.birth)
        return outcome

    def decoded(self, entry: Entry, is_inner: bool = False) -> Decoded | Ignored:
        """The same; raises Poison."""
        topic, payload = entry.topic, entry.payload
        if topic is None:
            raise Poison("invalid_topic", "topic", "the entry has no such field")
        plain = self._plain_topics.get(topic)
        if plain and payload and (decoded := self._v1.decode_plain(entry, plain, payload)) is not None:
            return decoded
        bounds = self._bounds.get(topic)
        if bounds is None:
            bounds = self._look_up(topic)
        if not bounds or not payload:
            return _nothing_to_decode(bounds, entry, topic, self._has_named)
        return self._first(bounds, entry, payload, is_inner)

    def _look_up(self, topic: bytes) -> tuple[Bound, ...]:
        """The candidates of a topic. Where the first one takes any payload of version 1, its names are all that is kept
        of the topic, until another payload comes."""
        candidates = self._router.candidates(topic)
        bounds = tuple(Bound(self._routes[each.position], each.captures) for each in candidates)
        plain = bounds[0].plain_topic if bounds and self._reached is None else None
        if plain is not None and self._plain_topics.get(topic) is None:
            self._plain_topics.keep(topic, plain)
        else:
            self._bounds.keep(topic, bounds)
        return bounds

    def _first(self, bounds: tuple[Bound, ...], entry: Entry, payload: bytes, is_inner: bool) -> Decoded | Ignored:
        """By the first route that takes it: whose `when` holds, or that has none."""
        read: Read | None = None
        documents = NO_DOCUMENTS  # of the candidates so far that read it in other ways
        document: Any = None
        unpacked, error, refused = 0, None, None
        for bound in bounds:
            route = bound.route
            if route.read is not read:
                if read is not None:
                    documents = {**documents, read: (document, unpacked, error)}
                read, error = route.read, None
                if read in documents:
                    document, unpacked, error = documents[read]
                else:
                    try:
                        document, unpacked = read(payload, entry.received_at)
                    except FormatError as wrong:
                        error = wrong
            if error is not None:
                if route.when is None:
                    return self._not_read(bound, entry, error)
                refused = bound, error
            elif route.when is None or route.when(document, bound):
                return self._taken(bound, entry, document, unpacked, is_inner)
        if refused:
            raise _poison_of(*refused)
        raise _nothing_fits(bounds)

    def _taken(self, bound: Bound, entry: Entry, document: Any, unpacked: int, is_inner: bool) -> Decoded | Ignored:
        route = bound.route
        if self._reached is not None:
            self._reached.routes.append(route.label)
        if bound.topic is not None:
            return self._v1.decode(entry, bound.topic, None if unpacked else document)
        try:
            return self._mapped(bound, entry, document, unpacked, is_inner)
        except Poison as poison:
            if poison.kind is None and not route.is_v1:
                poison.kind, poison.tenant_id = route.kind, bound.tenant
            raise

    def _mapped(self, bound: Bound, entry: Entry, document: Any, unpacked: int, is_inner: bool) -> Decoded | Ignored:
        route = bound.route
        if bound.poison is not None:
            raise bound.poison.copy()
        if route.route.ignore:
            return Ignored(entry, route.kind, MAPPING, route.mapping)
        scope = bound.scope(entry, document)
        if route.route.envelope:
            return self._opened(bound, scope, is_inner)
        if not route.is_sparkplug:
            return route.decoded(bound, scope, unpacked)
        return self._sparkplug(bound, scope, unpacked)

    def _sparkplug(self, bound: Bound, scope: Scope, unpacked: int) -> Decoded | Ignored:
        """With the names that a BIRTH gives; what a BIRTH says of aliases holds also where its rows are refused."""
        entry, label = scope.entry, bound.route.label
        topic = (entry.topic or b"").decode()
        named = with_names(scope.message, topic, self._aliases, entry.received_at, bound.tenant, label)
        scope.message = scope.record = named.document
        try:
            outcome = bound.route.decoded(bound, scope, unpacked)
        except Poison as poison:
            poison.birth = named.birth if bound.tenant is not None else None
            poison.named_by = named.named_by
            raise
        if isinstance(outcome, Ignored):
            return outcome
        return outcome._replace(birth=named.birth, named_by=named.named_by)

    def _opened(self, bound: Bound, scope: Scope, is_inner: bool) -> Decoded | Ignored:
        label = bound.route.label
        if is_inner:
            raise Poison("parse_error", label, "an envelope in an envelope is not opened")
        inner = self._openers[label].open(scope)
        allowed = _tenants_of_envelope(bound)
        try:
            outcome = self.decoded(inner, is_inner=True)
        except Poison as poison:
            if allowed is not None and poison.tenant_id not in allowed:
                poison.tenant_id = poison.birth = None  # an envelope names no other tenant and sets none of its aliases
            raise
        if isinstance(outcome, Ignored):
            return replace(outcome, entry=scope.entry)
        _check_tenant(label, allowed, outcome)
        return outcome._replace(entry=scope.entry)

    def _not_read(self, bound: Bound, entry: Entry, error: FormatError) -> Decoded | Ignored:
        if self._reached is not None:
            self._reached.routes.append(bound.route.label)
        if bound.route.is_v1:
            return self._v1.decode(entry, bound.v1_topic())
        raise _poison_of(bound, error)


def _size_of_plain(topic: bytes, _: Topic) -> int:
    return PLAIN_OVERHEAD + 2 * len(topic)


def _size_of_bounds(topic: bytes, bounds: tuple[Bound, ...]) -> int:
    return BOUNDS_OVERHEAD + 2 * len(topic) + BOUND_BYTES * len(bounds)


def _kind(bounds: tuple[Bound, ...], topic: bytes) -> str:
    return bounds[0].route.kind if bounds else kind_of(topic)


def _nothing_to_decode(bounds: tuple[Bound, ...], entry: Entry, topic: bytes, has_named: bool) -> Ignored:
    """An empty payload is ignored on any topic; everything else here is poison."""
    if entry.payload == b"":
        return Ignored(entry, _kind(bounds, topic), EMPTY)
    if not bounds:
        raise _no_route(topic, has_named)
    raise Poison("parse_error", "payload", "the entry has no such field")


def _no_route(topic: bytes, has_named: bool) -> Poison:
    """Version 1 has its own reasons for an invalid topic; without mappings every topic counts as one of version 1."""
    try:
        parse_topic(topic)
    except Poison as poison:
        is_utf8 = topic.decode(errors="ignore").encode() == topic
        if not has_named or topic.startswith(f"{ROOT}/".encode()) or not is_utf8:
            return poison
    return Poison("invalid_topic", "topic", "no mapping has a route for it")


def _nothing_fits(bounds: tuple[Bound, ...]) -> Poison:
    labels = ", ".join(bound.route.label for bound in bounds[:5]) + (", …" if len(bounds) > 5 else "")
    poison = Poison("invalid_topic", "topic", f"`when` doesn't fit the payload in any of its routes: {labels}")
    poison.kind, poison.tenant_id = bounds[0].route.kind, bounds[0].tenant
    return poison


def _poison_of(bound: Bound, error: FormatError) -> Poison:
    poison = Poison(error.reason, f"{bound.route.label}: {error.where}", error.what)
    poison.kind, poison.tenant_id = bound.route.kind, bound.tenant
    return poison


def _tenants_of_envelope(bound: Bound) -> tuple[str, ...] | None:
    """Those that a message inside may be of; None: any, since only trusted clients may publish to its topic."""
    outer = bound.captures.get("tenant")
    return (outer,) if outer is not None else bound.route.route.tenant.one_of


def _check_tenant(label: str, allowed: tuple[str, ...] | None, outcome: Decoded) -> None:
    """A message inside is of the tenant that may publish the envelope."""
    if allowed is None:
        return
    found = [part.tenant_id for part in (*outcome.rows, *outcome.devices)]
    if outcome.birth is not None and outcome.birth.tenant_id is not None:
        found.append(outcome.birth.tenant_id)
    for tenant in found:
        if tenant not in allowed:
            what = f"{printable(tenant)} is not {listed(allowed)}, whose envelope it is in"
            raise Poison("parse_error", f"{label}: tenant", what)
