"""`python -m writer`: one writer, configured by the environment."""

from __future__ import annotations

import sys

from shared.service import run
from writer.service import serve


def main() -> int:
    """Run until SIGTERM; returns the exit code."""
    return run(serve)


if __name__ == "__main__":
    sys.exit(main())
