"""The tests inside a mapping file, run: each message decoded, and compared with what it must become."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from traksense_ingest.shared.mapping.expected import Message, Test
from traksense_ingest.shared.mapping.faults import Fault, MappingError
from traksense_ingest.shared.mapping.mappings import Mappings
from traksense_ingest.shared.mapping.model import Mapping, Route
from traksense_ingest.shared.mapping.points import Place
from traksense_ingest.writer.decode.mapped.aliases import Aliases
from traksense_ingest.writer.decode.mapped.differences import differences
from traksense_ingest.writer.decode.mapped.reached import Reached
from traksense_ingest.writer.decode.mapped.routes import MappedRoutes
from traksense_ingest.writer.entry import Entry
from traksense_ingest.writer.outcome import Outcome

MAX_PAYLOAD_BYTES = 1024 * 1024
MAX_FUTURE_S = 86_400


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one test."""

    mapping: str
    test: Test
    outcome: Outcome
    route: str | None  # the label of the one that took the message; None: no route did
    problems: tuple[str, ...]  # a line each: what was expected, and what was found

    @property
    def passed(self) -> bool:
        """Whether the message became what it must."""
        return not self.problems


@dataclass(frozen=True, slots=True)
class Unreached:
    """A route, or an entry of its points, that no test reaches."""

    place: Place
    route: str
    where: str  # empty: the whole route


@dataclass(frozen=True, slots=True)
class Report:
    """The tests of one mapping."""

    mapping: str
    results: tuple[Result, ...]
    unreached: tuple[Unreached, ...]

    @property
    def failed(self) -> tuple[Result, ...]:
        """Those with problems."""
        return tuple(result for result in self.results if not result.passed)


def run_tests(mapping: Mapping, among: Mappings | None = None) -> Report:
    """Run a mapping's tests, each with no knowledge of the others. With `among` other mappings' routes are tried too,
    as in a writer that has loaded them; a message inside an envelope needs those."""
    mappings = Mappings((mapping,), frozenset()) if among is None else among
    reached, clock = Reached(), _Clock()
    aliases = Aliases()
    routes = MappedRoutes(
        mappings,
        max_payload_bytes=MAX_PAYLOAD_BYTES,
        max_future_s=MAX_FUTURE_S,
        clock=clock,
        aliases=aliases,
        reached=reached,
    )
    results = tuple(_run(mapping, test, routes, aliases, clock, reached) for test in mapping.tests)
    return Report(mapping.name, results, tuple(_unreached(mapping.routes, reached)))


def require_passed(mappings: Mappings) -> None:
    """Raise MappingError with the tests that fail of the mappings that INGEST_MAPPINGS names: alone and, for a message
    inside an envelope, among all mappings."""
    named = [file for file in mappings.files if file.name in mappings.named]
    if faults := [fault for file in named for fault in _failures(file, mappings)]:
        raise MappingError(faults)


def _failures(file: Mapping, mappings: Mappings) -> list[Fault]:
    failed = run_tests(file).failed
    if failed:
        among = {id(result.test) for result in run_tests(file, mappings).failed}
        failed = tuple(result for result in failed if id(result.test) in among)
    return [
        Fault(Place(str(file.file), result.test.line, 1), f"tests: {result.test.name}", problem)
        for result in failed
        for problem in result.problems
    ]


class _Clock:
    """Stands at the time of receipt of the message."""

    now: datetime

    def __call__(self) -> datetime:
        return self.now


def _run(
    mapping: Mapping, test: Test, routes: MappedRoutes, aliases: Aliases, clock: _Clock, reached: Reached
) -> Result:
    aliases.forget()
    for number, message in enumerate(test.before):
        _decode(message, number, routes, clock)
    reached.routes.append("")
    outcome = _decode(test.message, len(test.before), routes, clock)
    route = reached.routes[-1] or None
    problems = differences(test, outcome)
    wanted = test.route and f"{mapping.name}/{test.route}"
    if wanted and route != wanted:
        problems = (f"route: expected {wanted}, found {route or 'none'}", *problems)
    return Result(mapping.name, test, outcome, route, problems)


def _decode(message: Message, number: int, routes: MappedRoutes, clock: _Clock) -> Outcome:
    clock.now = message.received
    id_ = f"{int(message.received.timestamp() * 1000)}-{number}"
    topic = message.topic.encode(errors="surrogatepass")
    return routes.decode(Entry("test", id_, topic, message.payload, message.received, 1, message.retained))


def _unreached(routes: Sequence[Route], reached: Reached) -> list[Unreached]:
    found = []
    for route in routes:
        if route.label not in reached.routes:
            found.append(Unreached(route.place, route.label, ""))
        else:
            found += [
                Unreached(point.place, route.label, point.where)
                for point in route.points
                if (route.label, point.where) not in reached.points
            ]
    return found
