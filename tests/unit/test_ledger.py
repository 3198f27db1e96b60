"""Which state of a ledger can follow another, and what is lost if it can't."""

from __future__ import annotations

from dataclasses import replace

import pytest

from traksense_ingest.shared.streams.ledger import Ledger

BEFORE = Ledger(stream="s", added=100, stored=70, dead_lettered=10, in_stream=20, last_id="1000-0", revision=5)

CONTINUES = {
    "nothing happened": {},
    "entries came": {"added": 130, "in_stream": 50, "last_id": "1000-1"},
    "entries were settled": {"stored": 90, "in_stream": 0},
    "another client removed some": {"in_stream": 15},
    "somebody wrote them off": {"in_stream": 15, "removed": 5, "revision": 6},
}

BREAKS: dict[str, tuple[dict[str, object], int, int]] = {
    "FLUSHALL": ({"added": 0, "stored": 0, "dead_lettered": 0, "in_stream": 0, "last_id": "0-0", "revision": 0}, 0, 20),
    "… and more than before came since": (
        {"added": 900, "stored": 500, "dead_lettered": 0, "in_stream": 400, "last_id": "2000-0", "revision": 0},
        *(0, 20),
    ),
    "DEL": ({"added": 0, "in_stream": 0, "last_id": "0-0"}, 0, 20),
    "… and more than before came since then": ({"added": 900, "in_stream": 890, "last_id": "2000-0"}, 0, 20),
    "the ledger alone": ({"stored": 3, "dead_lettered": 0, "in_stream": 17, "revision": 0}, 17, 0),
    "the last entries": ({"added": 92, "in_stream": 12, "last_id": "900-0"}, 12, 8),
    "an older state": ({"added": 92, "stored": 40, "in_stream": 42, "last_id": "900-0", "revision": 4}, 42, 8),
    "an older state, of the same revision": ({"added": 92, "stored": 60, "in_stream": 22, "last_id": "900-0"}, 22, 8),
    "… and more than before came since, again": (
        {"added": 292, "stored": 40, "in_stream": 242, "last_id": "2000-0", "revision": 4},
        *(42, 8),
    ),
}


@pytest.mark.parametrize("what", CONTINUES)
def test_it_continues(what: str) -> None:
    assert BEFORE.precedes(replace(BEFORE, **CONTINUES[what]))  # type: ignore[arg-type]


@pytest.mark.parametrize("what", BREAKS)
def test_it_starts_again(what: str) -> None:
    figures, remaining, gone = BREAKS[what]
    now = replace(BEFORE, **figures)  # type: ignore[arg-type]
    assert not BEFORE.precedes(now)
    assert BEFORE.gone_in(now, remaining) == gone


def test_ids_are_compared_as_numbers() -> None:
    older = replace(BEFORE, last_id="999-10")
    assert older.precedes(replace(older, last_id="1000-2"))
    assert not older.precedes(replace(older, last_id="999-9"))
