"""`python -m receiver`: one receiver, configured by the environment."""

from __future__ import annotations

import argparse
import sys

from receiver.service import serve
from shared.service import run


def main() -> int:
    """Run until SIGTERM; returns the exit code."""
    return run(serve)


if __name__ == "__main__":
    about = "One receiver: MQTT → Redis Streams. It takes no arguments; variables, or a .env file, configure it."
    argparse.ArgumentParser(prog="python -m receiver", description=about).parse_args()
    sys.exit(main())
