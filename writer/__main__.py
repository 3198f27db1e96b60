"""`python -m writer`: one writer, configured by the environment."""

from __future__ import annotations

import sys

from traksense_ingest.shared.runtime.service import NoArguments, run
from traksense_ingest.writer.service import serve


def main() -> int:
    """Run until SIGTERM; returns the exit code."""
    return run(serve)


if __name__ == "__main__":
    NoArguments("writer", "One writer: Redis Streams → TimescaleDB.").parse_args()
    sys.exit(main())
