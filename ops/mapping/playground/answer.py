"""What a mapping makes of a message, and a draft from messages: for a page, as values that JSON has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from traksense_ingest.ops.dlq.payload_page import shown
from traksense_ingest.ops.mapping import trial
from traksense_ingest.ops.mapping.draft import command as draft_command
from traksense_ingest.ops.mapping.engine import Engine, taker_of
from traksense_ingest.ops.mapping.excerpt import excerpt_of
from traksense_ingest.ops.mapping.lint import FAULT, WARNING, as_dict, what_of
from traksense_ingest.ops.mapping.rows import compact, value_text
from traksense_ingest.ops.mapping.tests import as_dict as test_dict
from traksense_ingest.ops.mapping.tests import reports_of, taker, untested
from traksense_ingest.ops.mapping.warnings import warnings_of
from traksense_ingest.ops.terminal import number, printable
from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.mapping.expected import Message
from traksense_ingest.shared.mapping.faults import Fault, MappingError
from traksense_ingest.shared.mapping.load import load, load_format, load_text, variables
from traksense_ingest.shared.mapping.mappings import Mappings
from traksense_ingest.writer.decode.mapped.check import Result
from traksense_ingest.writer.outcome import Rejected

FILE = "mapping.yaml"  # as errors name a text
ROWS, FAULTS, FAILED, ROUTES = 500, 50, 20, 50  # that are shown, of each


class Kind(StrEnum):
    """Where the mappings come from."""

    RUNNING = "running"  # INGEST_MAPPINGS
    LIBRARY = "library"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Chosen:
    """The mappings of a trial."""

    kind: Kind
    name: str = ""  # of the library
    variables: str = ""  # what follows the ? in INGEST_MAPPINGS
    text: str = ""

    def load(self, settings: Settings) -> Mappings:
        """With version 1 before and after it, as in a writer. Raises MappingError."""
        match self.kind:
            case Kind.RUNNING:
                return load(settings.ingest_mappings)
            case Kind.LIBRARY:
                return load_format(self.name, variables(self.variables))
            case Kind.TEXT:
                return load_text(self.text, FILE, variables(self.variables))


def for_trials(settings: Settings) -> Settings:
    """What a trial needs of them: limits and INGEST_MAPPINGS, but no addresses and no passwords."""
    fields = type(settings).model_fields
    others = {name: field.default for name, field in fields.items() if not name.startswith("ingest_")}
    return settings.model_copy(update=others)


def tried(chosen: Chosen, message: Message | None, settings: Settings) -> dict[str, Any]:
    """The faults of the mappings; else their warnings and tests, and the result of the message, if there is one."""
    texts = {FILE: chosen.text} if chosen.kind is Kind.TEXT else {}
    try:
        mappings = chosen.load(settings)
        engine = Engine(mappings, settings)
    except MappingError as error:
        faults = [_fault(FAULT, each, texts) for each in error.faults[:FAULTS]]
        return _printable_in({"faults": faults, "all_faults": len(error.faults)})
    reports = reports_of(mappings)
    warnings = sorted([*warnings_of(mappings, texts), *untested(reports)])
    found = {
        "faults": [],
        "digests": dict(mappings.digests),
        "warnings": [_fault(WARNING, each, texts) for each in warnings[:FAULTS]],
        "tests": _tests([(result, file) for report, file in reports for result in report.results]),
        "trial": _trial(engine, message) if message else None,
    }
    return _printable_in(found)


def _printable_in(found: dict[str, Any]) -> dict[str, Any]:
    """With all its texts printable: no text of a device or a mapping is invisible, or changes the text around it."""
    return {name: _printable(value) for name, value in found.items()}


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return _printable_in(value)
    return [_printable(each) for each in value] if isinstance(value, list | tuple) else value


def drafted(messages: Sequence[Message], settings: Settings) -> dict[str, Any]:
    """A mapping for those that the library doesn't read; `reader` is the one that reads all of them. Raises
    IngestError."""
    drafting = draft_command.drafting_from(messages, None, None, settings)
    known = drafting.found.known
    is_known = len(known) == 1 and known.total() == len(messages)
    reader = next(iter(known), None) if is_known else None
    said = list(draft_command.facts(drafting, None))
    return {
        "text": drafting.made.text if drafting.made else None,
        "reader": reader if reader in drafting.library else None,
        "said": [*said, draft_command.outcome(drafting.found, drafting.made)],
    }


def _fault(severity: str, fault: Fault, texts: dict[str, str]) -> dict[str, Any]:
    found = excerpt_of(fault.place, texts) if fault.place else None
    return as_dict(severity, fault) | {"what": what_of(fault), "excerpt": found._asdict() if found else None}


def _tests(results: Sequence[tuple[Result, str]]) -> dict[str, Any]:
    failed = [each for each in results if not each[0].passed]
    passed = len(results) - len(failed)
    agreeing = "passes" if len(results) == 1 else "pass"
    return {
        "count": len(results),
        "passed": passed,
        "heading": f"{passed} of {number(len(results), 'test')} {agreeing}" if results else "it has no tests",
        "failed": [_failed(*each) for each in failed[:FAILED]],
    }


def _failed(result: Result, file: str) -> dict[str, Any]:
    message = result.test.message
    return test_dict(result, file) | {
        "line": result.test.line,
        "topic": message.topic,
        "taker": taker(result),
        "payload": _payload(message, result.outcome) if result.test.poison is None else None,
    }


def _trial(engine: Engine, message: Message) -> dict[str, Any]:
    outcome, considered = engine.decode(message), engine.considered(message)
    found = trial.as_dict(message, outcome, considered)
    rows, taken = found.get("rows", []), taker_of(considered)
    return {
        "outcome": found["outcome"],
        "heading": trial.heading_of(outcome, taken.label if taken else None),
        "reason": found.get("reason"),
        "rows": [_row(row) for row in rows[:ROWS]],
        "all_rows": len(rows),
        "payload": _payload(message, outcome),
        "routes": [
            {"route": label, "why": why, "takes": taken is not None and label == taken.label}
            for label, why in list(trial.whys_of(considered))[:ROUTES]
        ],
    }


def _payload(message: Message, outcome: object) -> dict[str, Any] | None:
    """Where it is wrong, if it was rejected."""
    if not isinstance(outcome, Rejected):
        return None
    try:
        message.payload.decode()
    except UnicodeDecodeError:
        return shown(message.payload, outcome.reason, is_text=False).as_dict()
    return shown(message.payload, outcome.reason, is_text=True).as_dict()


def _row(row: dict[str, Any]) -> dict[str, Any]:
    """Its columns as texts: one that has nothing is empty."""
    of_table = {name: "" if value is None else _text(value) for name, value in row.items()}
    return of_table | ({"value": value_text(row)} if row["table"] == "ts_measure" else {})


def _text(value: Any) -> str:
    return value if isinstance(value, str) else compact(value)
