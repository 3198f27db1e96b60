"""The command `mapping lint`: errors and warnings, each with its line."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import click

from traksense_ingest.ops.mapping.columns import screen_width, wrapped
from traksense_ingest.ops.mapping.engine import named_files, spec_of
from traksense_ingest.ops.mapping.excerpt import excerpt
from traksense_ingest.ops.mapping.tests import reports_of, untested
from traksense_ingest.ops.mapping.warnings import warnings_of
from traksense_ingest.ops.terminal import number
from traksense_ingest.shared import config
from traksense_ingest.shared.mapping.faults import Fault, MappingError
from traksense_ingest.shared.mapping.load import VARIABLE, load
from traksense_ingest.shared.mapping.mappings import Mappings
from traksense_ingest.shared.runtime.service import EXIT_FAILED, EXIT_MISCONFIGURED

FAULT, WARNING = "error", "warning"
_HINT = re.compile(r"^(.*); (did you mean [^?]+\?)$", re.DOTALL)


def lint_mappings(specs: Sequence[str], *, strict: bool, as_json: bool) -> None:
    """The command; exits with 2 if there are errors, as services do, or with 1 for warnings with `strict`."""
    spec = spec_of(specs, config.load())
    try:
        mappings = load(spec)
        reports = reports_of(mappings)
    except MappingError as error:
        faults = [_as_asked(fault) for fault in error.faults] if specs else list(error.faults)
        _show(FAULT, faults, as_json=as_json)
        if not as_json:
            click.echo(f"{number(len(error.faults), 'error')}")
        sys.exit(EXIT_MISCONFIGURED)
    warnings = sorted([*warnings_of(mappings), *untested(reports)])
    _show(WARNING, warnings, as_json=as_json)
    if not as_json:
        click.echo(_summary(mappings, len(warnings)))
    if warnings and strict:
        sys.exit(EXIT_FAILED)


def _as_asked(fault: Fault) -> Fault:
    """Without the variable, if the command line says which mappings."""
    return replace(fault, where="") if fault.where == VARIABLE else fault


def _summary(mappings: Mappings, warnings: int) -> str:
    files = named_files(mappings)
    routes, tests = sum(len(file.routes) for file in files), sum(len(file.tests) for file in files)
    counts = f"{number(len(files), 'file')}, {number(routes, 'route')}, {number(tests, 'test')}"
    noted = f", {number(warnings, 'warning')}" if warnings else ""
    return f"{counts}: no errors{noted}"


def _show(severity: str, faults: Sequence[Fault], *, as_json: bool) -> None:
    width = screen_width()
    for fault in faults:
        if as_json:
            click.echo(json.dumps(as_dict(severity, fault), ensure_ascii=False))
        else:
            click.echo("\n".join(lines(severity, fault, width)) + "\n")


def as_dict(severity: str, fault: Fault) -> dict[str, Any]:
    """For JSON; file, line and column are null for what no file says."""
    place = fault.place
    return {
        "severity": severity,
        "file": place.file if place else None,
        "line": place.line if place else None,
        "column": place.column if place else None,
        "where": fault.where,
        "what": fault.what,
    }


def lines(severity: str, fault: Fault, width: int | None) -> Iterator[str]:
    """Where and what, then the line of the file with a caret."""
    word = "warning: " if severity == WARNING else ""
    text = ": ".join(part for part in (str(fault.place or ""), word + fault.where, what_of(fault)) if part)
    yield from wrapped(text, width)
    if fault.place:
        yield from excerpt(fault.place, width)


def what_of(fault: Fault) -> str:
    """What is wrong; a suggestion comes first, since the list of what is allowed may be long."""
    return _HINT.sub(r"\2 \1", fault.what)
