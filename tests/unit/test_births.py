"""Reading the BIRTHs that other writers have stored: one statement for each batch that needs it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from traksense_ingest.shared.failure import Unusable
from traksense_ingest.writer.decode.mapped.aliases import Aliases
from traksense_ingest.writer.store import sql
from traksense_ingest.writer.store.births import StoredBirths

AT = datetime(2026, 11, 24, tzinfo=UTC)
COLUMNS = ("state", "started_at", "device_key", "born_at", "aliases")


class Row(tuple[Any, ...]):
    """As asyncpg's: by index and by name."""

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(COLUMNS.index(key) if isinstance(key, str) else key)


NONE = Row((None, None, None, None, None))
LATER = Row((None, None, "g/n", AT, '[["temp", "Float", 7]]'))
STANDBY = Row(("standby", None, None, None, None))


class Pool:
    """Of connections that know one method; each is used up by one answer."""

    def __init__(self, *answers: Sequence[Any] | Exception) -> None:
        self._answers = list(answers)
        self.asked: list[Any] = []
        self.cut = 0
        self.released = 0

    async def acquire(self) -> Pool:
        return self

    async def release(self, _connection: Pool) -> None:
        self.released += 1

    def terminate(self) -> None:
        self.cut += 1

    async def fetch(self, query: str, *arguments: Any) -> Sequence[Any]:
        assert sql.BIRTHS in query
        self.asked.append(arguments[1:])
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.mark.parametrize(("rows", "later"), [([NONE], {}), ([LATER], {"g/n": AT})])
async def test_it_is_one_statement_without_a_transaction(rows: Sequence[Any], later: dict[str, datetime]) -> None:
    pool, aliases = Pool(rows), Aliases()
    assert await StoredBirths(pool, aliases).load({"g/n": None, "g/o": AT}) == later
    assert (pool.asked, pool.cut, pool.released) == ([(["g/n", "g/o"], [None, AT])], 0, 1)
    known = aliases.find("g/n")
    assert (known.by_alias[7].name if known else None) == ("temp" if later else None)


async def test_a_standby_is_not_asked_again_over_the_same_connection() -> None:
    pool = Pool([STANDBY])
    with pytest.raises(Unusable, match="the server is a standby"):
        await StoredBirths(pool, Aliases()).load({"g/n": None})
    assert (pool.cut, pool.released) == (1, 1)


async def test_a_connection_that_died_in_the_pool_is_replaced() -> None:
    pool = Pool(asyncpg.InterfaceError("connection is closed"), [LATER])
    assert await StoredBirths(pool, Aliases()).load({"g/n": None}) == {"g/n": AT}
    assert (len(pool.asked), pool.cut, pool.released) == (2, 1, 2)
