"""As much of Kubernetes's API server as a receiver's sidecar asks for: how many receivers are wanted."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.support.certificates import Authority

TOKEN = "token-of-the-account"
STATEFULSET = "traksense-receiver"
PATH = f"/apis/apps/v1/namespaces/traksense/statefulsets/{STATEFULSET}/scale"


@contextmanager
def api_server(folder: Path, replicas: int) -> Iterator[dict[str, str]]:
    """The environment of a sidecar that asks it; the token and the CA are in `folder`."""
    authority = Authority(folder)
    (folder / "token").write_text(TOKEN)
    (folder / "ca.crt").write_bytes(authority.certificate.read_bytes())
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.sign("kubernetes", "IP:127.0.0.1"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(replicas))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield {
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(server.server_port),
            "POD_NAMESPACE": "traksense",
            "STATEFULSET": STATEFULSET,
        }
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(replicas: int) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_allowed = self.headers["Authorization"] == f"Bearer {TOKEN}" and self.path == PATH
            self.send_response(200 if is_allowed else 403)
            self.end_headers()
            spec = {"replicas": replicas} if replicas else {}  # as the API server leaves a 0 out
            self.wfile.write(json.dumps({"kind": "Scale", "spec": spec}).encode())

        def log_message(self, *arguments: object) -> None:
            """Nothing."""

    return Handler
