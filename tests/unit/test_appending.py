"""Which errors a replay of dead letters waits for."""

from __future__ import annotations

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from traksense_ingest.ops.appending.streams import _may_pass
from traksense_ingest.shared.failure import Unusable


@pytest.mark.parametrize(
    "error",
    [RedisConnectionError("refused"), RedisTimeoutError("frozen"), Unusable("no replica")],
    ids=lambda error: type(error).__name__,
)
def test_what_a_failover_may_cause_is_waited_for(error: Exception) -> None:
    assert _may_pass(error)


def test_a_command_that_is_refused_is_not() -> None:
    assert not _may_pass(ResponseError("WRONGTYPE"))
