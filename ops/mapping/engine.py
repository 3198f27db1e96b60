"""Mappings, loaded and at work: decodes messages as a writer with these mappings would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, assert_never

from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.errors import ConfigurationError
from traksense_ingest.shared.mapping.decoding import Decode, FormatName
from traksense_ingest.shared.mapping.expected import Message
from traksense_ingest.shared.mapping.load import load
from traksense_ingest.shared.mapping.mappings import Mappings
from traksense_ingest.shared.mapping.model import Mapping, Route
from traksense_ingest.writer.decode.current import compiled
from traksense_ingest.writer.entry import Entry
from traksense_ingest.writer.outcome import AwaitsBirth, Decoded, Deferred, Ignored, Outcome, Rejected

STREAM = "ingest:{0}"


def spec_of(specs: Sequence[str], settings: Settings) -> str:
    """What a command is about: what it names, or INGEST_MAPPINGS. Raises ConfigurationError if that is nothing."""
    spec = ",".join(specs) or settings.ingest_mappings
    if not spec:
        raise ConfigurationError("which mappings? Name files, folders or names of the library, or set INGEST_MAPPINGS")
    return spec


def loaded(specs: Sequence[str], settings: Settings) -> Mappings:
    """The same, loaded. Raises MappingError with all faults of all files."""
    return load(spec_of(specs, settings))


def named_files(mappings: Mappings) -> list[Mapping]:
    """Those that were asked for, without the ones that are always there."""
    return [file for file in mappings.files if file.name in mappings.named]


class Considered(NamedTuple):
    """A route whose topics a message matches."""

    route: Route
    takes: bool  # the first one of a topic that would take the message has it
    why_not: str


class Engine:
    """Decodes within the limits that the operator set."""

    def __init__(self, mappings: Mappings, settings: Settings) -> None:
        self.mappings = mappings
        self._settings = settings
        self._routes = compiled(settings, mappings)
        self._router = mappings.router()

    def decode(self, message: Message) -> Outcome:
        """What becomes of a message. Of Sparkplug's, the messages before it count."""
        return self._routes.decode(entry_of(message))

    def considered(self, message: Message) -> list[Considered]:
        """The routes of the topic in their order, each as if it were alone."""
        candidates = self._router.candidates(_encoded(message.topic))
        return [self._alone(candidate.route, message) for candidate in candidates]

    def _alone(self, route: Route, message: Message) -> Considered:
        """With a route that has the same topics, format and conditions, and ignores what it takes."""
        (file,) = (file for file in self.mappings.files if file.name == route.mapping)
        only = Mappings((replace(file, routes=(_without_rows(route),), tests=()),), self.mappings.named)
        outcome = compiled(self._settings, only).decode(entry_of(message))
        if not isinstance(outcome, Rejected) or not route.when:
            return Considered(route, True, "")
        names = ", ".join(condition.path.text for condition in route.when)
        is_read = outcome.error_class == "invalid_topic"
        return Considered(route, False, f"`when` doesn't hold ({names})" if is_read else outcome.reason)


def taker_of(considered: Sequence[Considered]) -> Route | None:
    """The route that takes a message."""
    return next((each.route for each in considered if each.takes), None)


def _without_rows(route: Route) -> Route:
    return Route(
        mapping=route.mapping,
        name=route.name,
        place=route.place,
        topics=route.topics,
        except_topics=route.except_topics,
        when=route.when,
        tenant=route.tenant,
        shard=None,
        decode=Decode(FormatName.JSON) if route.decode.format is FormatName.V1 else route.decode,
        unpack=route.unpack,
        ignore=True,
    )


def _encoded(topic: str) -> bytes:
    return topic.encode(errors="surrogateescape")


def entry_of(message: Message) -> Entry:
    """As it would be in a stream."""
    id_ = f"{round(message.received.timestamp() * 1000)}-0"
    return Entry(STREAM, id_, _encoded(message.topic), message.payload, message.received, 1, message.retained)


def verdict_of(outcome: Outcome) -> str:
    """One word or two."""
    match outcome:
        case Decoded():
            return "stored"
        case Ignored():
            return "ignored"
        case Rejected():
            return "dead letter"
        case AwaitsBirth():
            return "waits"
        case Deferred():
            return "bug"
        case _:
            assert_never(outcome)
