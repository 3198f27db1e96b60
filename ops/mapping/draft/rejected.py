"""What a draft would take of the newest dead letters."""

from __future__ import annotations

import asyncio
from collections import Counter

from traksense_ingest.ops.dlq.table import open_table
from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.errors import IngestError
from traksense_ingest.shared.mapping.mappings import Mappings
from traksense_ingest.shared.mapping.model import Mapping

SECONDS = 3.0  # for a database that may not be there: the draft doesn't need it
_TOPICS = """
SELECT topic, error_class, count(*) AS count
FROM (SELECT topic, error_class, replayed_at FROM ingest_errors ORDER BY id DESC LIMIT 10000) AS newest
WHERE replayed_at IS NULL
GROUP BY topic, error_class
"""


async def rejected(mapping: Mapping, settings: Settings) -> list[tuple[str, int]]:
    """Their classes of reason with how many there are, the most frequent first; none if the database can't be used."""
    try:
        async with asyncio.timeout(SECONDS), open_table(settings.database_url) as connection:
            rows = await connection.fetch(_TOPICS)
    except (IngestError, TimeoutError):
        return []
    router = Mappings((mapping,), frozenset([mapping.name])).router()
    found: Counter[str] = Counter()
    for row in rows:
        if router.candidates(row["topic"].encode(errors="surrogateescape")):
            found[row["error_class"]] += row["count"]
    return found.most_common()
