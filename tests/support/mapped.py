"""Mappings for tests: of the library, and written in a test, with what they make of a message."""

from __future__ import annotations

import textwrap
from datetime import UTC, datetime
from pathlib import Path

from traksense_ingest.shared.mapping.load import LIBRARY
from traksense_ingest.shared.mapping.mappings import Mappings
from traksense_ingest.shared.mapping.model import Mapping
from traksense_ingest.shared.mapping.read.mapping import read_mapping
from traksense_ingest.writer.decode.mapped.aliases import Aliases
from traksense_ingest.writer.decode.mapped.routes import MappedRoutes
from traksense_ingest.writer.decode.measures import Measure, Measures
from traksense_ingest.writer.entry import Entry
from traksense_ingest.writer.outcome import AwaitsBirth, Decoded, Outcome, Rejected

RECEIVED = datetime(2026, 11, 28, 16, 0, 5, 123_000, tzinfo=UTC)
OWN = Path(__file__).parents[1] / "mappings"
BUILT_IN = ("v1", "v1-unknown")
HEAD = """
version: 1
name: test
tenant: {from: topic}
defaults:
  identity: {tenant: "{tenant}", site: s, device: "{device}"}
  time: received
routes:
"""
VARS = {"tenant": "acme", "tz": "Europe/Berlin", "site": "home"}


def read(content: bytes, name: str = "test.yaml", path: Path = Path("test.yaml")) -> Mapping:
    """A file's mapping; it has no faults."""
    found = read_mapping(content, path, name, {})
    if any("must be set" in fault.what for fault in found.faults):
        found = read_mapping(content, path, name, {key: VARS[key] for key in found.declared if key in VARS})
    assert found.mapping is not None, "\n".join(map(str, found.faults))
    return found.mapping


def file(path: Path) -> Mapping:
    """A file of the library or of the tests."""
    return read(path.read_bytes(), path.name, path)


def library() -> list[Path]:
    """The files that ship, without those that are always there."""
    return sorted(path for path in LIBRARY.glob("*.yaml") if path.stem not in BUILT_IN)


def all_files() -> list[Path]:
    """The files that ship, and those of the tests."""
    return [*library(), *sorted(OWN.glob("*.yaml"))]


def version_1() -> tuple[Mapping, Mapping]:
    """What is tried before all others, and after them."""
    first, last = (file(LIBRARY / f"{name}.yaml") for name in BUILT_IN)
    return first, last


def mappings(*named: Mapping) -> Mappings:
    """These, between those that are always there."""
    first, last = version_1()
    return Mappings((first, *named, last), frozenset(mapping.name for mapping in named))


class Decoding:
    """Decodes messages, and learns from them, as a writer does."""

    def __init__(self, among: Mappings, max_payload_bytes: int = 1024 * 1024) -> None:
        self.now = RECEIVED
        self.aliases = Aliases()
        self.routes = MappedRoutes(
            among,
            max_payload_bytes=max_payload_bytes,
            max_future_s=86_400,
            clock=lambda: self.now,
            aliases=self.aliases,
        )

    def outcome(
        self, topic: str | bytes, payload: str | bytes, received: datetime = RECEIVED, retained: bool = False
    ) -> Outcome:
        self.now = received
        outcome = self.routes.decode(entry(topic, payload, received, retained))
        if isinstance(outcome, Decoded) and outcome.birth is not None:
            self.aliases.learn(outcome.birth)
        return outcome


def entry(topic: str | bytes, payload: str | bytes, received: datetime = RECEIVED, retained: bool = False) -> Entry:
    """A message's."""
    raw = topic if isinstance(topic, bytes) else topic.encode()
    content = payload if isinstance(payload, bytes) else payload.encode()
    return Entry("ingest:{0}", f"{int(received.timestamp() * 1000)}-7", raw, content, received, 1, retained)


def decoding(text: str) -> Decoding:
    """By the mapping that a test writes."""
    found = read(textwrap.dedent(text).encode())
    return Decoding(Mappings((found,), frozenset([found.name])))


def points(body: str, time: str = "received", more: str = "") -> Decoding:
    """One route on t/{device}, of tenant acme and site s, with these points."""
    lines = textwrap.indent(textwrap.dedent(body).strip(), " " * 6)
    extra = textwrap.indent(textwrap.dedent(more).strip(), " " * 4)
    return decoding(
        f"""version: 1
name: test
tenant: acme
routes:
  - name: r
    topics: "t/{{device}}"
    identity: {{site: s, device: "{{device}}"}}
    time: {time}
{extra}
    points:
{lines}
"""
    )


def rows_of(outcome: Outcome) -> list[Measure]:
    """The rows of ts_measure of a message that is stored."""
    assert isinstance(outcome, Decoded), outcome
    return [measure for rows in outcome.rows if isinstance(rows, Measures) for measure in rows]


def values_of(outcome: Outcome) -> dict[str, object]:
    """The value of each point."""
    return {
        row.point_id: next((value for value in (row.v_num, row.v_bool, row.v_text) if value is not None), None)
        for row in rows_of(outcome)
    }


def reason_of(outcome: Outcome) -> str:
    """Why a message is poison."""
    assert isinstance(outcome, Rejected | AwaitsBirth), outcome
    return outcome.reason
