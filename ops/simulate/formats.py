"""Examples for simulated devices, out of the mappings' own tests. How many rows one makes and whose they are is known,
since the mapping itself has decoded it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random

from traksense_ingest.ops.mapping.engine import Engine
from traksense_ingest.ops.mapping.library import names, spec_of, variables
from traksense_ingest.ops.mapping.rows import Row, rows_of
from traksense_ingest.ops.simulate.format_device import Example, FormatDevice, form_of, scalars
from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.errors import ConfigurationError
from traksense_ingest.shared.mapping.expected import Message as Published
from traksense_ingest.shared.mapping.expected import Test
from traksense_ingest.shared.mapping.faults import did_you_mean
from traksense_ingest.shared.mapping.load import LIBRARY, load
from traksense_ingest.writer.outcome import Decoded, Rejected


class NotSimulated(ValueError):
    """A format whose example can't be varied: the message says why."""


def examples(formats: Sequence[str], tenant: str, settings: Settings, *, with_bad: bool) -> tuple[Example, ...]:
    """An example of each; raises ConfigurationError for a format that can't be simulated.

    `with_bad` are messages that are cut off; their dead letters must name a tenant, by which they are counted.
    """
    found = tuple(_example(name, tenant, settings) for name in formats)
    for example in found if with_bad else ():
        if not _names_tenant(example, tenant, settings):
            raise ConfigurationError(
                f"--bad: not with {example.format}: what is not JSON names no tenant, by which dead letters are counted"
            )
    return found


def simulated(settings: Settings, tenant: str) -> list[str]:
    """The formats of INGEST_MAPPINGS that can be simulated, in order."""
    used = load(settings.ingest_mappings)
    of_library = [file.name for file in used.files if file.name in used.named and file.name in names()]
    return [name for name in of_library if _can_be(name, tenant, settings)]


def _can_be(name: str, tenant: str, settings: Settings) -> bool:
    try:
        _example(name, tenant, settings)
    except ConfigurationError:
        return False
    return True


def _names_tenant(example: Example, tenant: str, settings: Settings) -> bool:
    message = FormatDevice(0, tenant, example, Random(0)).bad(example.ts, Random(0))  # noqa: S311  (not a secret)
    outcome = _engine(example.format, tenant, settings).decode(Published(message.topic, message.payload, message.ts))
    return isinstance(outcome, Rejected) and outcome.tenant_id == example.tenant_of(tenant)


def _example(name: str, tenant: str, settings: Settings) -> Example:
    if name not in names():
        raise _unknown(name, tenant, settings)
    engine = _engine(name, tenant, settings)
    (mapping,) = (file for file in engine.mappings.files if file.name == name)
    is_envelope = any(route.envelope for route in mapping.routes)
    why = "its messages are those of other mappings" if is_envelope else "its tests have no JSON message"
    for test in () if is_envelope else mapping.tests:
        try:
            return _checked(_taken_apart(name, test, engine), tenant, engine)
        except NotSimulated as error:
            why = str(error) or why
    raise ConfigurationError(f"--format: {name} can't be simulated: {why}")


def _unknown(name: str, tenant: str, settings: Settings) -> ConfigurationError:
    known = [each for each in names() if _can_be(each, tenant, settings)]
    hint = did_you_mean(name, known)
    listed = f"hose that can be simulated: {', '.join(known)}"
    listed = f"{hint} T{listed}" if hint else f"; t{listed}"
    return ConfigurationError(f"--format: the library has no mapping {name!r}{listed}")


def _engine(name: str, tenant: str, settings: Settings) -> Engine:
    """With the variables of INGEST_MAPPINGS, where it has the format."""
    used = load(settings.ingest_mappings)
    if name not in used.named:
        used = load(spec_of(name, variables((LIBRARY / f"{name}.yaml").read_text(encoding="utf-8")), tenant))
    return Engine(used, settings)


def _taken_apart(name: str, test: Test, engine: Engine) -> Example:
    if not test.rows or test.before or test.message.retained:
        raise NotSimulated
    try:
        payload = json.loads(test.message.payload)
    except (ValueError, UnicodeDecodeError):
        raise NotSimulated("its example isn't JSON") from None
    rows = _rows(engine, test.message)
    tenants, devices, times = ({row[column] for row in rows} for column in ("tenant", "device", "ts"))
    if not len(tenants) == len(devices) == len(times) == 1:
        raise NotSimulated("its example is of several devices or moments")
    ts = datetime.fromisoformat(times.pop())
    written = [form for value in scalars(payload) if (form := form_of(value, ts))]
    resolution = min((finest for _, finest in written), default=None)
    if resolution is None:
        raise NotSimulated("its example has no time of its own: rows of the same moment would be one")
    return Example(name, test.message.topic, payload, tenants.pop(), devices.pop(), ts, len(rows), resolution)


def _checked(example: Example, tenant: str, engine: Engine) -> Example:
    """That devices and times come out as they are put in."""
    rng = Random(0)  # noqa: S311  (not a secret)
    for number in (0, 70_000):
        device, ts = example.named(number), example.ts + (number + 1) * timedelta(seconds=61)
        topic, payload = example.topic_of(tenant, device), example.payload_of(number, number, ts, rng)
        rows = _rows(engine, Published(topic, payload, ts))
        found = {(row["tenant"], row["device"], datetime.fromisoformat(row["ts"])) for row in rows}
        if found != {(example.tenant_of(tenant), device, ts)}:
            raise NotSimulated("its tenant, its device or its time can't be replaced")
        if len(rows) != example.points:
            raise NotSimulated("the number of its rows varies")
    return example


def _rows(engine: Engine, message: Published) -> list[Row]:
    outcome = engine.decode(message)
    if not isinstance(outcome, Decoded):
        raise NotSimulated(getattr(outcome, "reason", "its example isn't stored"))
    return rows_of(outcome)
