"""`traksense-ingest validate`, with the metrics of every receiver and writer that DNS has; options are passed on."""

from __future__ import annotations

import os
import socket
import sys


def urls(option: str, service: str, port: int) -> list[str]:
    """The option once for each pod of a headless Service."""
    found = socket.getaddrinfo(service, port, type=socket.SOCK_STREAM)
    addresses = sorted({str(address[0]) for *_, address in found})
    hosts = [f"[{each}]" if ":" in each else each for each in addresses]
    return [part for host in hosts for part in (option, f"http://{host}:{port}/metrics")]


def main() -> None:
    """Replace this process by the command."""
    receivers = urls("--receiver-metrics", os.environ["RECEIVERS"], 9101)
    writers = urls("--writer-metrics", os.environ["WRITERS"], 9100)
    command = ["traksense-ingest", "validate", *receivers, *writers, *sys.argv[1:]]
    os.execvp(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main()
