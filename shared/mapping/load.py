"""INGEST_MAPPINGS → Mappings: names of the library that ships, files, and folders of files."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from collections.abc import Mapping as Dict
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path as File
from urllib.parse import unquote

from traksense_ingest.shared.mapping.faults import Fault, MappingError, did_you_mean, quoted
from traksense_ingest.shared.mapping.mappings import Mappings
from traksense_ingest.shared.mapping.read.mapping import FILE_MAX, Read, read_mapping

VARIABLE = "INGEST_MAPPINGS"
LIBRARY = File(str(files("traksense_ingest"))) / "mappings"
FIRST, LAST = ("v1",), ("parsec", "je02", "v1-unknown")  # always loaded, before and after those that are named
BUILT_IN = ("v1", "v1-unknown")  # not to be named


@dataclass(frozen=True, slots=True)
class Chosen:
    """An entry of INGEST_MAPPINGS."""

    text: str  # as written
    path: str
    vars: Dict[str, str]


def load(spec: str = "", library: File = LIBRARY) -> Mappings:
    """What INGEST_MAPPINGS names, such as `khomp,chirpstack?tenant=acme&site=x,./mine/,./one.yaml`, with v1 before and
    after it. Raises MappingError with all errors of all files."""
    faults: list[Fault] = []
    chosen = list(entries(spec, faults))
    named = [read for entry in chosen for read in _read_entry(entry, library, faults)]
    return _among_built_in(named, faults, library)


def load_format(name: str, given: Dict[str, str], library: File = LIBRARY) -> Mappings:
    """One of the library, with the values of its variables; a path is not a name. Raises MappingError."""
    if name not in (names := formats(library)):
        raise MappingError([_no_format(name, names)])
    faults: list[Fault] = []
    return _among_built_in(_read_entry(Chosen(name, name, given), library, faults), faults, library)


def load_text(text: str, shown: str, given: Dict[str, str], library: File = LIBRARY) -> Mappings:
    """A mapping that is not a file, and that can't name files. `shown` is how errors name it. Raises
    MappingError."""
    content = text.encode(errors="surrogatepass")
    read = read_mapping(content, File(shown), shown, given, may_name_files=False)
    faults = _undeclared(Chosen(shown, shown, given), [read])
    return _among_built_in([read], faults, library)


def variables(query: str) -> dict[str, str]:
    """What follows the ? of an entry of INGEST_MAPPINGS: `tenant=acme&site=x`. Raises MappingError."""
    faults: list[Fault] = []
    found = dict(_settings(query, query, faults))
    if faults:
        raise MappingError(faults)
    return found


def _among_built_in(named: Sequence[Read], faults: list[Fault], library: File) -> Mappings:
    before = [_built_in(name, library) for name in FIRST]
    names = {read.name for read in named}
    after = [_built_in(name, library) for name in LAST if name not in names]
    reads = [*before, *named, *after]
    faults = faults + [fault for read in reads for fault in read.faults]
    faults += _repeated(reads)
    if faults:
        raise MappingError(sorted(dict.fromkeys(faults), key=_place_first))
    return Mappings(tuple(read.mapping for read in reads if read.mapping), frozenset(names))


def formats(library: File = LIBRARY) -> list[str]:
    """The names of the library that ships, in order."""
    return sorted(path.stem for path in library.glob("*.yaml") if path.stem not in BUILT_IN)


def entries(spec: str, faults: list[Fault]) -> Iterator[Chosen]:
    """The parts of INGEST_MAPPINGS; values of variables may be percent-encoded."""
    for text in (part.strip() for part in spec.split(",")):
        path, _, query = text.partition("?")
        if path:
            yield Chosen(text, path, dict(_settings(text, query, faults)))
        elif text:
            faults.append(_fault(f"{quoted(text)}: expected a name before the ?"))


def _settings(text: str, query: str, faults: list[Fault]) -> Iterator[tuple[str, str]]:
    seen = set()
    for setting in query.split("&") if query else ():
        name, is_set, value = setting.partition("=")
        if not is_set or not name or name in seen:
            why = f"duplicate variable {name}" if name in seen else "expected name=value"
            faults.append(_fault(f"{quoted(text)}: {quoted(setting)}: {why}"))
        seen.add(name)
        yield name, unquote(value)


def _read_entry(entry: Chosen, library: File, faults: list[Fault]) -> list[Read]:
    paths = list(_paths(entry, library, faults))
    reads = [_read_file(path, shown, entry.vars) for path, shown in paths]
    faults += _undeclared(entry, reads)
    return reads


def _undeclared(entry: Chosen, reads: Sequence[Read]) -> list[Fault]:
    """Variables that are set, and that none of its files has."""
    declared = frozenset[str]().union(*(read.declared for read in reads))
    if not (reads and all(read.name for read in reads)):  # the variables of one are not known
        return []
    return [_no_variable(entry, name, declared) for name in entry.vars if name not in declared]


def _paths(entry: Chosen, library: File, faults: list[Fault]) -> Iterator[tuple[File, str]]:
    """The files of an entry, and how errors name them."""
    if not _is_path(entry.path):
        if entry.path in (names := formats(library)):
            yield library / f"{entry.path}.yaml", f"{entry.path}.yaml"
        else:
            faults.append(_no_format(entry.path, names))
        return
    try:
        path = File(entry.path).expanduser()
        is_folder = path.is_dir()
        found = sorted(path.glob("*.yaml")) if is_folder else [path]
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: ~ of nobody
        faults.append(_fault(f"{quoted(entry.path)} can't be read: {getattr(error, 'strerror', None) or error}"))
        return
    if not found:
        faults.append(_fault(f"no *.yaml in the folder {quoted(entry.path)}"))
    yield from ((each, str(each) if is_folder else entry.path) for each in found)


def _is_path(text: str) -> bool:
    return "/" in text or text in (".", "..") or re.search(r"\.ya?ml$", text) is not None


def _read_file(path: File, shown: str, given: Dict[str, str]) -> Read:
    try:
        with path.open("rb") as file:
            content = file.read(FILE_MAX + 1)
    except (OSError, ValueError) as error:
        what = getattr(error, "strerror", None) or str(error)
        return Read(None, (_fault(f"{quoted(shown)} can't be read: {what}"),))
    return read_mapping(content, path, shown, given)


def _built_in(name: str, library: File) -> Read:
    return _read_file(library / f"{name}.yaml", f"{name}.yaml", {})


def _repeated(reads: Sequence[Read]) -> Iterator[Fault]:
    """Errors for the same name in two files."""
    first: dict[str, Read] = {}
    for read in reads:
        if read.name and first.setdefault(read.name, read) is not read:
            other = first[read.name].name_place
            what = f"duplicate name {read.name}, first used in {other.file if other else 'another file'}"
            yield Fault(read.name_place, "name", what)


def _no_format(name: str, names: Sequence[str]) -> Fault:
    hint = did_you_mean(name, names) or f"; it has {', '.join(names)}"
    return _fault(f"the library has no mapping {quoted(name)}; a file is named by its path, such as ./my.yaml{hint}")


def _no_variable(entry: Chosen, name: str, declared: Collection[str]) -> Fault:
    known = f"known: {', '.join(sorted(declared))}" if declared else "it has none"
    return _fault(f"{quoted(entry.path)} has no variable {quoted(name)}; {known}{did_you_mean(name, declared)}")


def _fault(what: str) -> Fault:
    return Fault(None, VARIABLE, what)


def _place_first(fault: Fault) -> tuple[bool, str, int, int]:
    place = fault.place
    return (True, place.file, place.line, place.column) if place else (False, "", 0, 0)
