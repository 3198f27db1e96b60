"""A mapping file, parsed: what the writer compiles and the receiver subscribes to.

Only a payload can still make it fail, and whatever can fail has its text as written, for the dead letter's reason.
`shared/mapping/text.py` has paths, templates and topics; `points.py` the rows and times; `decoding.py` the formats.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path as File
from typing import Literal

from traksense_ingest.shared.mapping.decoding import Decode, Envelope, Packing
from traksense_ingest.shared.mapping.expected import Test
from traksense_ingest.shared.mapping.points import AnyPoint, Condition, Place, TimeRule
from traksense_ingest.shared.mapping.text import Path, Scalar, Template, TopicPattern

Kind = Literal["telem", "ack", "event", "state", "cmd"]


@dataclass(frozen=True, slots=True)
class Literally:
    """A value that stands in the file: `=text`."""

    value: Scalar


Source = Path | Template | Literally
Fields = tuple[tuple[str, Source], ...]


@dataclass(frozen=True, slots=True)
class Flag:
    """Something that is true or false: at a path, through a table if there is one, or as it stands in the file."""

    path: Path | None
    map: tuple[tuple[Scalar, bool], ...] = ()
    literal: bool = False


@dataclass(frozen=True, slots=True)
class Ack:
    """A device's answer to a command."""

    cmd_id: Template
    ok: Flag
    err: Path | None


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. Without `id` its content is its identity."""

    type: Template
    id: Template | None
    data: Path | Fields | None


@dataclass(frozen=True, slots=True)
class State:
    """Whether a device is connected."""

    online: Flag
    reason: Source | None


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose reading it is."""

    tenant: Template
    site: Template
    device: Template


class TenantFrom(StrEnum):
    """Who says which tenant it is."""

    LITERAL = "literal"
    TOPIC = "topic"
    PAYLOAD = "payload"


@dataclass(frozen=True, slots=True)
class Tenant:
    """Where the tenant comes from, and which are allowed; None: all."""

    origin: TenantFrom
    one_of: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Route:
    """One way from a topic and a payload to rows. `mapping/name` is what a dead letter's reason says.

    An ignored one counts its messages, and an envelope opens them: both have no identity.
    """

    mapping: str
    name: str
    place: Place
    topics: tuple[TopicPattern, ...]
    except_topics: tuple[TopicPattern, ...]
    when: tuple[Condition, ...]
    tenant: Tenant
    shard: Template | None  # references to the topic's captures alone; None: as `shard_key` decides
    decode: Decode
    unpack: tuple[Packing, ...] = ()
    ignore: bool = False
    envelope: Envelope | None = None
    kind: Kind = "telem"
    identity: Identity | None = None
    records: Path | None = None
    time: TimeRule | None = None
    meta: Fields = ()
    points: tuple[AnyPoint, ...] = ()
    ack: Ack | None = None
    event: Event | None = None
    state: State | None = None

    @property
    def label(self) -> str:
        """The mapping's and its own name."""
        return f"{self.mapping}/{self.name}"


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mapping file with its variables set."""

    name: str
    file: File
    description: str
    digest: str  # of its text, the files that it names and its variables: 12 hexadecimal digits
    vars: tuple[tuple[str, str], ...]
    routes: tuple[Route, ...]
    tests: tuple[Test, ...]
