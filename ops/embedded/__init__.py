"""Real servers as child processes, out of plain Python packages: no Docker, no system packages.

`traksense-ingest up` and the tests run these. Each is one process bound to 127.0.0.1 whose data stay
in its directory over stop, crash and restart, and which ends when its parent does.
"""

from ops.embedded.broker import Broker
from ops.embedded.errors import PortBusy, ServerFailed
from ops.embedded.postgres import PostgresServer
from ops.embedded.redis import RedisServer
from ops.embedded.server import Server, free_port

__all__ = ["Broker", "PortBusy", "PostgresServer", "RedisServer", "Server", "ServerFailed", "free_port"]
