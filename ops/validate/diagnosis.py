"""Why messages may be missing: what is known without leaving this machine."""

from __future__ import annotations

from ops.validate import sql
from ops.validate.message import topic_of
from ops.validate.probe import Probe

BACKLOG = "ingest_queue_size"


async def diagnosis(probe: Probe) -> str:
    """What to look at, to be appended to what is missing: `; 40 dead-lettered (…); writer ready; backlog …`."""
    facts = await _dead_letters(probe)
    facts += [await probe.receiver.readiness(), await probe.writer.readiness()]
    samples = await probe.writer.samples()
    if samples and (backlog := samples.value(BACKLOG)):
        facts.append(f"backlog {backlog:.0f} messages")
    return "".join(f"; {fact}" for fact in facts) + "; look at the logs of receiver and writer"


async def _dead_letters(probe: Probe) -> list[str]:
    invalid = topic_of(probe.tenant, "check-3")  # dead-lettered on purpose
    rows = await probe.database.fetch(sql.REASONS, probe.tenant, probe.first_error_id, invalid)
    return [f"{row['count']} dead-lettered ({row['reason']})" for row in rows]
