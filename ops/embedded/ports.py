"""TCP ports of the loopback interface: which are free, and one short exchange over one."""

import random
import socket

LOOPBACK = "127.0.0.1"
_ANSWER_SECONDS = 2.0
FIRST, LAST = 10_000, 32_768  # Linux gives outgoing connections 32768 and up


class Ports:
    """Ports to listen on, one after the other from a random one on. A port is not given again soon: whoever has it may
    not listen yet."""

    def __init__(self, first: int, last: int) -> None:
        self._first, self._count = first, last - first
        self._given = random.randrange(self._count)  # noqa: S311 - no secret

    def take(self, count: int) -> int:
        """The first of `count` in a row that nothing listens on now."""
        while True:
            first = self._first + self._given % (self._count - count)
            self._given += count
            if all(port_is_free(port) for port in range(first, first + count)):
                return first


ports = Ports(FIRST, LAST)


def free_port(count: int = 1) -> int:
    """The first of `count` ports in a row that nothing listens on now; another program may take it before you do.

    Not one of those that the system gives to outgoing connections: such a port may be taken at any moment.
    """
    return ports.take(count)


def port_is_free(port: int) -> bool:
    """Whether a server could listen on this port now."""
    with socket.socket() as probe:
        # Without this, connections of the previous run that linger in TIME_WAIT count as busy.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def ask(port: int, request: bytes, goodbye: bytes = b"") -> bytes:
    """Send a request to a local server and return the beginning of its answer (b"" if it hangs up).

    Raises OSError when nothing listens, or nothing comes back within two seconds.
    """
    with socket.create_connection((LOOPBACK, port), timeout=_ANSWER_SECONDS) as connection:
        connection.sendall(request)
        answer = connection.recv(1024)
        connection.sendall(goodbye)
        return answer
