"""`python -m receiver`: one receiver, configured by the environment."""

from __future__ import annotations

import sys

from receiver.service import serve
from shared.service import run


def main() -> int:
    """Run until SIGTERM; returns the exit code."""
    return run(serve)


if __name__ == "__main__":
    sys.exit(main())
