"""What can go wrong when a server is started."""

from ops.embedded.ports import LOOPBACK


class PortBusy(RuntimeError):
    """A server's port is taken by another program."""

    def __init__(self, name: str, port: int) -> None:
        super().__init__(f"{name}: port {port} of {LOOPBACK} is taken by another program")
        self.name, self.port = name, port


class ServerFailed(RuntimeError):
    """A server exited, or did not answer in time; `log` holds the last lines it wrote."""

    def __init__(self, name: str, log: str) -> None:
        super().__init__(f"{name} did not start; the end of its log:\n{log}")
        self.name, self.log = name, log
