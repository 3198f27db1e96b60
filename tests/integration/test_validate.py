"""`validate` on real servers, on a host that has little time for it."""

from __future__ import annotations

import json

import pytest

from tests.support.stack import Stack
from traksense_ingest.ops.validate.diagnosis import read_host

UNREACHABLE = 1e12  # points/s


@pytest.mark.long
@pytest.mark.skipif(read_host() is None, reason="no Linux")
async def test_a_target_that_is_missed_says_how_much_of_the_host_there_was(stack: Stack) -> None:
    receiver, writer = await stack.receiver(), await stack.writer()
    metrics = [
        f"--{process}-metrics=http://127.0.0.1:{port}/metrics"
        for process, port in (("receiver", receiver.port), ("writer", writer.port))
    ]
    checked = await stack.command(
        "validate", "--json", "--points", "1000", f"--min-rate={UNREACHABLE}", "--max-p50=60", *metrics
    )
    assert checked.returncode == 1, checked.stderr
    throughput = json.loads(checked.stdout)["checks"][3]
    host = throughput["figures"]["host"]
    assert (throughput["passed"], host["cpus"] >= 1, 0 < host["share"] <= 1, 0 <= host["busy"] <= 1) == (
        False,
        True,
        True,
        True,
    )
    assert 0 <= host["quiet_busy"] <= 1
    assert ("this host may be why" in throughput["detail"]) is (
        host["share"] < 0.7 or host["quiet_busy"] > 0.5 or host["stolen"] > 0.1 or host["throttled"] > 0.1
    )
