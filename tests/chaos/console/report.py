"""What the console has shown during each fault: a table, and the sums."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from tests.chaos.console.visitor import Reading, Visitor, masked
from tests.chaos.outcome import Incident, Outcome

HEADINGS = ("fault", "pages", "200", "503", "longest s", "named after s (max)", "verdicts of the console meanwhile")
TEXTS = HEADINGS[0], HEADINGS[-1]  # the others are figures


def console_rows(outcome: Outcome) -> Iterator[Sequence[str]]:
    """A row for each fault; none without a console. What was asked for from its beginning until the next one's counts;
    verdicts until the pipeline had recovered."""
    if outcome.visitor is None:
        return
    for name in outcome.names:
        incidents = outcome.of(name)
        spans = [(incident.started, outcome.end(incident)) for incident in incidents]
        readings = [reading for span in spans for reading in outcome.visitor.between(*span)]
        yield name, *_counts(readings), _named(incidents), _verdicts(outcome.visitor, incidents)


def _counts(readings: Sequence[Reading]) -> Sequence[str]:
    statuses = Counter(reading.status for reading in readings)
    longest = max((reading.took_s for reading in readings), default=0.0)
    return str(len(readings)), str(statuses[200]), str(statuses[503]), f"{longest:.1f}"


def _named(incidents: Sequence[Incident]) -> str:
    """How long it took until the verdict named what was down; – where it need not."""
    found = [incident.shown_s for incident in incidents if incident.shown_s is not None]
    if not found:
        return "–"
    return "never" if math.inf in found else f"{max(found):.1f}"


def _verdicts(visitor: Visitor, incidents: Sequence[Incident]) -> str:
    """What they began with, in the order in which they were first seen, and how often."""
    seen: Counter[str] = Counter()
    for incident in incidents:
        for reading in visitor.between(incident.started, incident.ended):
            if reading.verdict:
                seen[masked(reading.verdict).text.partition(": ")[0].rstrip(".")] += 1
    return "; ".join(f"{text} ({times})" for text, times in seen.items())


def console_sums(outcome: Outcome) -> Iterator[tuple[str, str]]:
    """Over the whole run."""
    visitor = outcome.visitor
    if visitor is None:
        yield "console", "not installed"
        return
    statuses = Counter(reading.status for reading in visitor.readings)
    answers = ", ".join(f"{times} with {status or 'no answer'}" for status, times in sorted(statuses.items()))
    longest = max((reading.took_s for reading in visitor.readings), default=0.0)
    yield "pages of the console", f"{len(visitor.readings)} asked for: {answers}; the longest took {longest:.1f} s"
    killed, memory = visitor.console.starts - 1, visitor.console.highest_kib / 1024
    yield "console", f"killed {killed} times; at most {memory:.0f} MiB; {outcome.replayed} dead letters replayed"
