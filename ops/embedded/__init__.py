"""Real servers as child processes, from Python packages: no Docker, no system packages.

`traksense-ingest up`, the tests and the benchmarks run these; `debian.py` has the same from Debian's packages. Each is
one process bound to 127.0.0.1. Its data stay in its directory after a stop, a crash or a restart, and it ends when its
parent does.
"""

from traksense_ingest.ops.embedded.broker import Broker
from traksense_ingest.ops.embedded.postgres import PostgresServer
from traksense_ingest.ops.embedded.redis import RedisServer
from traksense_ingest.ops.embedded.server import PortBusy, Server, ServerFailed, free_port

__all__ = ["Broker", "PortBusy", "PostgresServer", "RedisServer", "Server", "ServerFailed", "free_port"]
