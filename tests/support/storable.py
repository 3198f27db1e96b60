"""What every outcome must be: rows that PostgreSQL takes, or one dead letter with the exact bytes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from tests.support.rows import points_in, rows_of
from traksense_ingest.shared.messages import EMPTY, IGNORED_REASONS, POISON_REASONS
from traksense_ingest.shared.metrics import MESSAGE_TYPES
from traksense_ingest.writer.decode.measures import Measure, Measures
from traksense_ingest.writer.outcome import AwaitsBirth, Decoded, Ignored, Outcome, Rejected
from traksense_ingest.writer.store.births import latest
from traksense_ingest.writer.store.bisect import give_up_waiting
from traksense_ingest.writer.store.dead_letter import dead_letter_row

EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)
JSON_COLUMNS = ("meta", "payload", "data")


def check_storable(outcome: Outcome) -> None:
    """No NUL, no lone surrogate, no number that isn't one, no key too long for an index: PostgreSQL refuses nothing."""
    if isinstance(outcome, AwaitsBirth):  # what becomes of it when its BIRTH doesn't come
        outcome = give_up_waiting(replace(outcome, entry=outcome.entry._replace(deliveries=2)))
    assert isinstance(outcome, Decoded | Rejected | Ignored), outcome
    assert outcome.kind in MESSAGE_TYPES
    match outcome:
        case Rejected():
            _check_dead_letter(outcome)
        case Decoded():
            _check_rows(outcome)
        case Ignored():
            assert outcome.reason in IGNORED_REASONS
            assert outcome.mapping or outcome.reason == EMPTY  # its payload, or that of the message in an envelope


def _check_dead_letter(outcome: Rejected) -> None:
    row = dead_letter_row(outcome)
    assert outcome.error_class in POISON_REASONS
    assert outcome.error_class != "max_deliveries"
    assert outcome.reason.startswith(f"{outcome.error_class}: ")
    exact = row.payload.encode() if row.payload_raw is None else row.payload_raw
    assert exact == (outcome.entry.payload or b"")
    _check_texts(value for value in row if isinstance(value, str))


def _check_rows(outcome: Decoded) -> None:
    measures = points_in(outcome)
    rows: list[Any] = [*rows_of(outcome), *outcome.devices]
    if outcome.birth:
        rows += latest([(outcome.tenant_id or "", outcome.birth)])
    for row in rows:
        _check_texts(value for value in row if isinstance(value, str))
        columns = row._asdict()
        for column in JSON_COLUMNS:
            if columns.get(column) is not None:
                _check_texts(_texts_in(json.loads(columns[column], parse_constant=_refuse)))
        for value in filter(None, (columns.get("ts"), columns.get("ts_exec"))):
            assert EARLIEST <= value <= LATEST
        key = [len(str(value).encode()) for column, value in columns.items() if column.endswith("_id")]
        assert sum(key) + 8 < 2704, "what a page of a btree holds of one row"
    for measure in measures:
        _check_measure(measure)
    for of_a_moment in outcome.rows:
        names = [measure.point_id for measure in of_a_moment] if isinstance(of_a_moment, Measures) else []
        assert len(set(names)) == len(names)


def _check_measure(measure: Measure) -> None:
    values = (measure.v_num, measure.v_bool, measure.v_text)
    for value, type_ in zip(values, (float, bool, str), strict=True):
        assert value is None or type(value) is type_
    assert sum(value is not None for value in values) <= 1
    assert measure.v_num is None or math.isfinite(measure.v_num)


def _check_texts(texts: Iterable[str]) -> None:
    for text in texts:
        assert "\0" not in text
        text.encode()


def _texts_in(value: object) -> Iterator[str]:
    """Every string in a JSON value, keys included: jsonb holds no NUL, however it is escaped."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from _texts_in([*value, *value.values()])
    elif isinstance(value, list):
        for item in value:
            yield from _texts_in(item)


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")
