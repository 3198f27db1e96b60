"""`python -m receiver`: one receiver, configured by the environment."""

from __future__ import annotations

import sys
from functools import partial

from traksense_ingest.receiver.service import serve
from traksense_ingest.shared.runtime.service import NoArguments, run


def main(*, leaving: bool = False) -> int:
    """Run until SIGTERM or, leaving for good, until the session has ended; returns the exit code."""
    return run(partial(serve, leaving=leaving))


if __name__ == "__main__":
    NoArguments("receiver", "One receiver: MQTT → Redis Streams.").parse_args()
    sys.exit(main())
