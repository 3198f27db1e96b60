"""A route's points, parsed: which values become rows, under which names, and at what time."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Literal

from traksense_ingest.shared.mapping.text import Names, Path, Scalar, Template

NO_NAMES = Names()


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something stands; line and column from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Equal:
    """One of these values; 1 equals 1.0, and true equals neither."""

    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Exists:
    """There is a value that is not null (`exists`), or there is none (`absent`: the path leads nowhere, or to null)."""

    expected: bool


@dataclass(frozen=True, slots=True)
class OfType:
    """A value of one of these types of JSON: number, text, bool, null, object, array."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite of a test. A path that leads nowhere fulfils it, for it is not equal and of no type."""

    test: Equal | OfType


@dataclass(frozen=True, slots=True)
class Condition:
    """What must be at a path."""

    path: Path
    test: Equal | Exists | OfType | Not


class TimeFormat(StrEnum):
    """How a time is written."""

    DEFAULT = "default"  # rfc3339 for a string, unix for a number
    AUTO = "auto"  # the same, and a number is in s, ms, µs or ns by its size
    RFC3339 = "rfc3339"
    UNIX = "unix"
    UNIX_MS = "unix_ms"
    UNIX_US = "unix_us"
    UNIX_NS = "unix_ns"


@dataclass(frozen=True, slots=True)
class Strptime:
    """A format of Python's `strptime`."""

    format: str


class Missing(StrEnum):
    """What a message without a time has."""

    REJECT = "reject"
    RECEIVED = "received"  # the time of its receipt
    NONE = "none"  # no time: an ACK's ts_exec


@dataclass(frozen=True, slots=True)
class TimeRule:
    """Which time: the first of `paths` that is there, or all of them joined with a space (`paths_joined`)."""

    paths: tuple[Path, ...] = ()
    joined: bool = False
    formats: tuple[TimeFormat | Strptime, ...] = (TimeFormat.DEFAULT,)  # the first that fits
    tz: str | None = None  # IANA's name, for times without an offset; without it they are poison
    absent: tuple[Scalar, ...] = ()  # values that mean: no time
    missing: Missing = Missing.REJECT
    round_us: int = 0  # of the received time: down to a multiple of so many µs
    before: datetime | None = None  # earlier ones are as `before_is` says: a clock that starts at 1974
    before_is: Missing = Missing.REJECT


class Else(StrEnum):
    """What a value is that `map` doesn't have."""

    REJECT = "reject"
    SKIP = "skip"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class Value:
    """What is done to a value, in this order: `absent`, `bools`, `numbers_in_text`, `map`, the arithmetic, `type`.

    Words that `bools` doesn't have, strings that aren't numbers, and for arithmetic what isn't a number, stay as they
    are.
    """

    unit: Template | None = None  # none where what it refers to is missing, null or empty
    units: tuple[tuple[str, str], ...] = ()  # what `unit` gives → what is stored; others stay
    units_by_name: tuple[tuple[Names, str], ...] = ()  # without a `unit`: by the name before `rename`
    type: Literal["number", "bool", "text"] | None = None
    scale: Decimal | None = None  # v × scale ÷ divide + offset, in decimal
    divide: Decimal | None = None
    offset: Decimal | None = None
    map: tuple[tuple[Scalar, Scalar], ...] = ()
    otherwise: Else = Else.REJECT  # `else`
    numbers_in_text: bool = False
    true_words: frozenset[str] = frozenset()  # in lower case; compared without regard to it
    false_words: frozenset[str] = frozenset()
    null: Literal["row", "skip"] = "skip"
    absent: tuple[Scalar, ...] = ()


@dataclass(frozen=True, slots=True)
class Override:
    """What is different for one leaf. `value` is complete: what it doesn't say is as in the entry."""

    names: Names
    value: Value
    rename: str | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """What all entries of `points` have. Its conditions (`only`) are about what its paths start from."""

    place: Place
    where: str  # its place in the file, such as points[2], for errors
    name: Template
    value: Value
    only: tuple[Condition, ...] = ()
    required: bool = False  # nothing there is poison
    time: TimeRule | None = None  # instead of the record's
    distinct_by_unit: bool = False  # the unit is appended to the name, after "_"


@dataclass(frozen=True, slots=True)
class PathPoint(Point):
    """One value."""

    path: Path = field(kw_only=True)


@dataclass(frozen=True, slots=True)
class Case:
    """A value of a point under conditions; without any it is what is left."""

    when: tuple[Condition, ...]
    path: Path | None  # or `literal`
    literal: Scalar = None


@dataclass(frozen=True, slots=True)
class CasesPoint(Point):
    """The first case whose conditions hold; no row if none does."""

    cases: tuple[Case, ...] = field(kw_only=True)


@dataclass(frozen=True, slots=True)
class Many(Point):
    """Several points. `include` (if it has any) and `exclude` are about names before `rename`; a name template of a
    leaf sees `{leaf}`, the leaf's dotted path, which is what these match there."""

    include: Names = NO_NAMES
    exclude: Names = NO_NAMES
    rename: tuple[tuple[str, str], ...] = ()
    overrides: tuple[Override, ...] = ()  # the first that matches


@dataclass(frozen=True, slots=True)
class EachPoint(Many):
    """Each item that `each` leads to (it is_many); `path`, `name`, `unit`, `only` and `time` start from the item."""

    each: Path = field(kw_only=True)
    path: Path = field(kw_only=True)


@dataclass(frozen=True, slots=True)
class ZipPoint(Many):
    """Arrays of one length: the item is an object with a key of each array. Other lengths are poison."""

    arrays: tuple[tuple[str, Path], ...] = field(kw_only=True)
    path: Path = field(kw_only=True)


@dataclass(frozen=True, slots=True)
class LeavesPoint(Many):
    """Every scalar below, by its dotted path; `.` in its templates and conditions is the record, not the leaf.

    `leaves` may be many, such as params.{component}: the leaves of each object and array that it leads to.
    """

    leaves: Path = field(kw_only=True)


AnyPoint = PathPoint | CasesPoint | EachPoint | ZipPoint | LeavesPoint
