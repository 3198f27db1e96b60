"""TCP ports of the loopback interface: which are free, and one short exchange over one."""

import socket

LOOPBACK = "127.0.0.1"
_ANSWER_SECONDS = 2.0


def free_port() -> int:
    """A port that nothing listens on now; another program may take it before you do."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


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


def ask(port: int, request: bytes, farewell: bytes = b"") -> bytes:
    """Send a request to a local server and return the beginning of its answer (b"" if it hangs up).

    Raises OSError when nobody listens, or nothing comes back within two seconds.
    """
    with socket.create_connection((LOOPBACK, port), timeout=_ANSWER_SECONDS) as connection:
        connection.sendall(request)
        answer = connection.recv(1024)
        connection.sendall(farewell)
        return answer
