"""`python -m writer`: one writer, configured by the environment."""

from __future__ import annotations

import argparse
import sys

from shared.service import run
from writer.service import serve


def main() -> int:
    """Run until SIGTERM; returns the exit code."""
    return run(serve)


if __name__ == "__main__":
    about = "One writer: Redis Streams → TimescaleDB. It takes no arguments; variables, or a .env file, configure it."
    argparse.ArgumentParser(prog="python -m writer", description=about).parse_args()
    sys.exit(main())
