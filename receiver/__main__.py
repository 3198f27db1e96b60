"""`python -m receiver`: one receiver, configured by the environment."""

from __future__ import annotations

import sys
from functools import partial

from traksense_ingest.receiver.service import serve
from traksense_ingest.shared.mapping.reload import Check, is_read
from traksense_ingest.shared.runtime.service import NoArguments, run


def main(*, leaving: bool = False, check: Check = is_read) -> int:
    """Run until SIGTERM or, leaving for good, until the session has ended; returns the exit code. `check` refuses
    mappings before they are used."""
    return run(partial(serve, leaving=leaving, check=check))


if __name__ == "__main__":
    NoArguments("receiver", "One receiver: MQTT → Redis Streams.").parse_args()
    sys.exit(main())
