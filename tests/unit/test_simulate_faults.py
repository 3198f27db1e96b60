"""Each fault, put into a message of each format, is dead-lettered for the reason that it names."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random

import pytest

from tests.support.rows import points_in
from tests.unit.test_simulate_fleet import decode
from traksense_ingest.ops.simulate.device import PARSEC_EVERY, Device
from traksense_ingest.ops.simulate.messages import FAULTS, Fault, pick
from traksense_ingest.shared.messages import POISON_REASONS
from traksense_ingest.writer.outcome import Decoded, Rejected

LATEST_START = datetime(2026, 1, 1, tzinfo=UTC)
EARLIEST_START = datetime(2000, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("number", [0, 1, 2, PARSEC_EVERY - 1], ids=["cold-room", "freezer", "hvac", "parsec"])
@pytest.mark.parametrize("start", [EARLIEST_START, LATEST_START], ids=["2000", "2026"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_it_is_rejected_with_its_class(fault: Fault, start: datetime, number: int) -> None:
    device = Device(number, "demo", Random(5))
    body, _ = device.telemetry(start)
    bad = device.message_of("telem", start, fault.spoil(body, start))
    outcome = decode(bad, now=LATEST_START, max_future_s=10 * 365 * 86_400)
    assert isinstance(outcome, Rejected), outcome
    assert outcome.error_class == fault.error_class
    assert outcome.error_class in POISON_REASONS
    assert outcome.tenant_id == "demo"


def test_what_is_spoilt_was_good() -> None:
    device = Device(0, "demo", Random(5))
    for _ in range(2):  # the first is its boot
        message = device.message(LATEST_START)
    outcome = decode(message, now=LATEST_START)
    assert isinstance(outcome, Decoded)
    assert len(points_in(outcome)) == message.points


def test_each_fault_is_picked() -> None:
    rng = Random(1)
    assert {pick(rng).name for _ in range(200)} == {fault.name for fault in FAULTS}
