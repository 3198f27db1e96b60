"""A whole file: its text → a Mapping, and its errors."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping as Dict
from dataclasses import dataclass
from pathlib import Path as File

from traksense_ingest.shared.mapping.faults import Fault, did_you_mean
from traksense_ingest.shared.mapping.model import Mapping, Route
from traksense_ingest.shared.mapping.points import Place
from traksense_ingest.shared.mapping.read.cursor import Cursor, Keys, Reader
from traksense_ingest.shared.mapping.read.decode import FileReader
from traksense_ingest.shared.mapping.read.nodes import Entries, Invalid, Leaf, Node, compose
from traksense_ingest.shared.mapping.read.route import DEFAULTS, NAME, RouteReader
from traksense_ingest.shared.mapping.read.tenant import TenantRule, tenant
from traksense_ingest.shared.mapping.read.tests import test
from traksense_ingest.shared.mapping.read.variables import expanded, substituted

FILE_MAX = 1024 * 1024  # bytes
ROUTES_MAX = 100_000
KEYS = ("version", "name", "description", "vars", "tenant", "shard", "defaults", "routes", "tests")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Read:
    """What came of a file. `mapping` is None where it has errors."""

    mapping: Mapping | None
    faults: tuple[Fault, ...]
    declared: frozenset[str] = frozenset()  # its variables
    name: str = ""
    name_place: Place | None = None


def read_mapping(content: bytes, file: File, shown: str, given: Dict[str, str], *, may_name_files: bool = True) -> Read:
    """A file's content. `shown` is how errors name it; `given` are the values of its variables. Raises nothing.

    With `may_name_files` false, a codec or a payload in another file is an error: nothing is read.
    """
    reader = Reader(shown)
    try:
        node = compose(_decoded(content), lambda at, what: reader.fault(at, "", what))
    except Invalid as invalid:
        fault = Fault(Place(shown, invalid.line, invalid.column), "", str(invalid))
        return Read(None, (*reader.faults, fault))
    files = FileReader(file.parent if may_name_files else None, {})
    return _read(reader, node, content, file, given, files)


def _decoded(content: bytes) -> str:
    if len(content) > FILE_MAX:
        raise Invalid(1, 1, f"larger than {FILE_MAX} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line = before.count(b"\n") + 1
        raise Invalid(line, error.start - before.rfind(b"\n"), "not UTF-8") from None


def _read(reader: Reader, node: Node, content: bytes, file: File, given: Dict[str, str], files: FileReader) -> Read:
    variables = _variables(Cursor(reader, node), given)
    if b"${" in content:
        node = substituted(_without_vars(node), variables, lambda at, what: reader.fault(at, "", what))
    keys = Cursor(reader, node).keys(*KEYS, what="version, name and routes")
    _check_version(keys)
    at = keys.required("name", "the mapping's name, such as my-device")
    name = at.matching(NAME, "a name of lower case letters, digits, - and _") if at else ""
    routes = _routes(keys, name, files)
    tests = keys.read("tests", lambda at: tuple(test(item, files) for item in at.items("a list of tests")), ())
    for case, item in zip(tests, keys.found["tests"].items() if tests else (), strict=False):
        if case.route is not None and case.route not in (names := [route.name for route in routes]):
            item.fault(f"unknown route {case.route}{did_you_mean(case.route, names)}")
    mapping = Mapping(
        name=name,
        file=file,
        description=keys.read("description", Cursor.text, ""),
        digest=_digest(content, variables, files.read),
        vars=tuple(variables.items()),
        routes=routes,
        tests=tests,
    )
    faults = tuple(reader.faults)
    place = at.place if at else None
    return Read(None if faults else mapping, faults, frozenset(variables), name, place)


def _check_version(keys: Keys) -> None:
    at = keys.required("version", "1, the only version that there is")
    if at and at.scalar() != 1:
        at.expected("1, the only version that there is")


def _routes(keys: Keys, name: str, files: FileReader) -> tuple[Route, ...]:
    defaults = keys.found["defaults"].keys(*DEFAULTS, what="keys of a route") if "defaults" in keys else None
    rule = keys.read("tenant", tenant, TenantRule())
    reader = RouteReader(name, rule, keys.get("shard"), defaults.found if defaults else {}, files)
    at = keys.required("routes", "a list of routes")
    if at is None:
        return ()
    entries = at.items("a list of routes")
    if not entries and at.is_list:
        at.fault("expected at least one route, found an empty list")
    if len(entries) > ROUTES_MAX:
        at.fault(f"{len(entries)} routes; at most {ROUTES_MAX} are allowed")
        return ()
    routes = tuple(reader.route(entry) for entry in entries)
    _refuse_repeated(entries, routes)
    return routes


def _refuse_repeated(entries: list[Cursor], routes: tuple[Route, ...]) -> None:
    first: dict[str, Route] = {}
    for entry, route in zip(entries, routes, strict=True):
        if route.name and first.setdefault(route.name, route) is not route:
            entry.fault(f"duplicate name {route.name}, first used in line {first[route.name].place.line}")


def _variables(at: Cursor, given: Dict[str, str]) -> dict[str, str]:
    """Values of the file's variables, a default may have those before it."""
    found: dict[str, str] = {}
    for key, value in _vars_of(at):
        name = key.matching(_VARIABLE, "a variable's name of letters, digits and _")
        if name in given:
            found[name] = given[name]
        elif isinstance(value.node, Leaf) and value.node.value is not None:
            found[name] = expanded(value.node.text, found, value.fault)
        elif isinstance(value.node, Leaf):
            found[name] = name  # so that what it is part of has no other errors
            value.fault(f"has no default and must be set: INGEST_MAPPINGS={_shown_name(at)}?{name}=…")
        else:
            value.expected("a string or null")
    return found


def _vars_of(at: Cursor) -> list[tuple[Cursor, Cursor]]:
    top = {key.written: value for key, value in at.table()} if at.is_object else {}
    return top["vars"].table("names and their defaults") if "vars" in top else []


def _shown_name(at: Cursor) -> str:
    return next((value.text() for key, value in at.table() if key.written == "name"), "") or "name"


def _without_vars(node: Node) -> Node:
    """`vars` are read already."""
    if not isinstance(node, Entries):
        return node
    return Entries(
        node.line,
        node.column,
        tuple(
            (key, Leaf(key.line, key.column, None, "") if key.text == "vars" else item) for key, item in node.entries
        ),
    )


def _digest(content: bytes, variables: Dict[str, str], files: Dict[str, bytes]) -> str:
    """12 digits of what the mapping is made from."""
    hashed = hashlib.sha256(content)
    hashed.update(json.dumps(variables, sort_keys=True).encode())
    for name, part in sorted(files.items()):
        hashed.update(name.encode() + b"\0" + part)
    return hashed.hexdigest()[:12]
