"""Messages → a draft that takes each of them: what is of the library is left to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from traksense_ingest.ops.mapping.draft.file import Expected, file_name, written
from traksense_ingest.ops.mapping.draft.route import Drafted
from traksense_ingest.ops.mapping.draft.routes import Planned, planned
from traksense_ingest.ops.mapping.draft.samples import Form, Sample, sample_of
from traksense_ingest.ops.mapping.engine import Engine, taker_of
from traksense_ingest.ops.mapping.rows import Row, rows_of
from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.errors import IngestError
from traksense_ingest.shared.mapping.expected import Message
from traksense_ingest.shared.mapping.load import BUILT_IN
from traksense_ingest.shared.mapping.mappings import Mappings
from traksense_ingest.shared.mapping.model import Mapping
from traksense_ingest.shared.mapping.read.mapping import read_mapping
from traksense_ingest.writer.decode.mapped.check import run_tests
from traksense_ingest.writer.outcome import AwaitsBirth, Decoded, Ignored, Rejected

TESTS = 3
SMALL, LARGEST = 2048, 65_536  # bytes of a payload that makes a test: as a rule, and at most


@dataclass(slots=True)
class Sorted:
    """Messages by who reads them."""

    known: Counter[str] = field(default_factory=Counter)  # by the name of the mapping that ships
    unreadable: Counter[str] = field(default_factory=Counter)  # by topic
    empty: int = 0
    samples: list[Sample] = field(default_factory=list)  # all others


@dataclass(frozen=True, slots=True)
class Draft:
    """A file, and what it is as a mapping."""

    name: str
    text: str
    mapping: Mapping


def sorted_by_reader(messages: Iterable[Message], library: Engine) -> Sorted:
    """What the library reads is none of the samples."""
    found = Sorted()
    for message in messages:
        if not message.payload:
            found.empty += 1
        elif name := reader_of(message, library):
            found.known[name] += 1
        elif (sample := sample_of(message)).form is Form.OTHER:
            found.unreadable[message.topic] += 1
        else:
            found.samples.append(sample)
    return found


def reader_of(message: Message, library: Engine) -> str | None:
    """The mapping of the library that reads a message, be it for another tenant."""
    outcome = library.decode(message)
    is_read = isinstance(outcome, Decoded | Ignored | AwaitsBirth) or (
        isinstance(outcome, Rejected) and "identity.tenant" in outcome.reason
    )
    route = taker_of(library.considered(message)) if is_read else None
    return None if route is None or route.mapping == BUILT_IN[-1] else route.mapping


def draft_of(samples: Sequence[Sample], tenant: str | None, name: str | None, taken: Sequence[str]) -> _Drafter:
    """The drafter of a file for these samples; there is at least one."""
    plan = planned(samples, tenant)
    return _Drafter(plan, tenant, name or file_name(plan[0][1].topic, taken))


class _Drafter:
    def __init__(self, plan: Sequence[Planned], tenant: str | None, name: str) -> None:
        self._plan = plan
        self._tenant = tenant
        self._name = name

    def draft(self, settings: Settings) -> Draft:
        """Routes that can't take what they are made for are made simpler, and the tests say what comes of it."""
        text = self._written(())
        wrong = self._poisoned(text, settings)
        if wrong:
            samples = [sample for route, _ in self._plan for sample in route.group.samples]
            self._plan = planned(samples, self._tenant, wrong)
            text = self._written(())
        tests = self._tests(text, settings)
        text = self._written(tests)
        mapping = parsed(text)
        if failed := [result.test.name for result in run_tests(mapping).failed]:
            raise IngestError(f"the draft fails its own tests, which is a bug: {', '.join(failed)}")
        return Draft(self._name, text, mapping)

    def _routes(self) -> list[Drafted]:
        return [route for _, route in self._plan]

    def _written(self, tests: Sequence[Expected]) -> str:
        return written(self._name, self._routes(), tests)

    def _poisoned(self, text: str, settings: Settings) -> set[int]:
        """The positions of routes that reject one of their samples."""
        engine = engine_of(parsed(text), settings)
        return {
            index
            for index, (route, _) in enumerate(self._plan)
            if not all(isinstance(engine.decode(each.message), Decoded | Ignored) for each in route.group.samples)
        }

    def _tests(self, text: str, settings: Settings) -> list[Expected]:
        """One of each route at least, and more while there are fewer than TESTS."""
        engine = engine_of(parsed(text), settings)
        queues = [(drafted.name, _candidates(route.group.samples)) for route, drafted in self._plan]
        tests: list[Expected] = []
        for turn in range(TESTS):
            for name, messages in queues:
                if turn < len(messages) and (turn == 0 or len(tests) < TESTS):
                    tests.append(_test(f"{name} {turn + 1}, as it came", messages[turn], engine))
        return tests


def _candidates(samples: Sequence[Sample]) -> list[Message]:
    """Small ones first, and those that the broker hasn't kept; of each topic one, then the others."""
    messages = [sample.message for sample in samples if len(sample.message.payload) <= LARGEST]
    first = {message.topic: message for message in reversed(messages)}
    return sorted(
        dict.fromkeys(messages),
        key=lambda message: (len(message.payload) > SMALL, message.retained, first[message.topic] is not message),
    )[:TESTS]


def _test(name: str, message: Message, engine: Engine) -> Expected:
    outcome = engine.decode(message)
    if isinstance(outcome, Decoded):
        return Expected(name, message, [*map(_expected, rows_of(outcome))])
    if isinstance(outcome, Ignored):
        return Expected(name, message, None, is_ignored=True)
    reason = outcome.reason if isinstance(outcome, Rejected) else "a bug"
    return Expected(name, message, None, reason.partition(": ")[2] or reason)


def _expected(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "table"}


def parsed(text: str) -> Mapping:
    """A draft as a mapping; raises AssertionError with its faults, which would be a bug of the drafter."""
    read = read_mapping(text.encode(errors="surrogatepass"), Path("draft.yaml"), "draft.yaml", {})
    assert read.mapping is not None, "\n".join(map(str, read.faults))  # noqa: S101
    return read.mapping


def engine_of(mapping: Mapping, settings: Settings) -> Engine:
    """With this mapping alone."""
    return Engine(Mappings((mapping,), frozenset([mapping.name])), settings)
