"""TLS to a real Redis: certificates of both sides, right and wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import Authority, can_sign
from tests.support.process import Process
from tests.support.redis_users import SECRET, add_users, stops
from tests.support.services import Services
from tests.support.stack import Stack, telem
from tests.support.waiting import eventually
from traksense_ingest.ops.embedded import free_port
from traksense_ingest.ops.embedded.debian import DebianRedis


def is_refused_or_waits(process: Process) -> bool:
    return "REDIS_URL: redis: " in process.log or "redis is unreachable" in process.log


@pytest.fixture
async def encrypted(
    request: pytest.FixtureRequest, services: Services, database: str, tmp_path: Path
) -> AsyncIterator[Any]:
    """A stack, its Redis with the users and a TLS port for 127.0.0.1, its CA and that port."""
    if not (DebianRedis.installed() and can_sign()):
        pytest.skip("needs Debian's redis-server and openssl (the embedded one is built without TLS)")
    authority, port = Authority(tmp_path / "right"), free_port()
    certificate, key = authority.sign("redis", "IP:127.0.0.1")
    options = {
        "tls-port": str(port),
        "tls-cert-file": str(certificate),
        "tls-key-file": str(key),
        "tls-ca-cert-file": str(authority.certificate),
        "tls-auth-clients": getattr(request, "param", "no"),
    }
    redis = DebianRedis(tmp_path / "redis", free_port(), options)
    with services.broker(tmp_path) as broker, redis:
        stack = Stack(broker, redis, database, tmp_path)
        await add_users(stack.redis)
        yield stack, authority, port
        await stack.close()


def rediss(port: int, user: str, parameters: Mapping[str, object] | None = None, host: str = "127.0.0.1") -> str:
    query = "&".join(f"{name}={value}" for name, value in (parameters or {}).items())
    return f"rediss://{user}:{SECRET}@{host}:{port}/0?{query}"


async def comes_through(stack: Stack, port: int, parameters: Mapping[str, object]) -> None:
    await stack.receiver(REDIS_URL=rediss(port, "receiver", parameters))
    await stack.writer(REDIS_URL=rediss(port, "writer", parameters))
    await stack.publish(telem())
    await stack.has_rows("ts_measure", 1)
    assert (await stack.status(REDIS_URL=rediss(port, "status", parameters))).returncode == 0


@pytest.mark.long
async def test_tls_right_and_wrong(encrypted: tuple[Stack, Authority, int], tmp_path: Path) -> None:
    stack, authority, port = encrypted
    trusted, other = (
        {"ssl_ca_certs": authority.certificate},
        {"ssl_ca_certs": Authority(tmp_path / "wrong").certificate},
    )
    await comes_through(stack, port, trusted)
    for service in ("receiver", "writer"):
        for url in (rediss(port, service), rediss(port, service, other), rediss(port, service, trusted, "localhost")):
            process = stack.start(service, REDIS_URL=url)
            await stops(process, "REDIS_URL: redis: ")
            assert "CERTIFICATE_VERIFY_FAILED" in process.log.splitlines()[-1]
    assert (await stack.status(REDIS_URL=rediss(port, "status", other))).returncode == 2


@pytest.mark.parametrize("encrypted", ["yes"], indirect=True)
async def test_mutual_tls(encrypted: tuple[Stack, Authority, int], tmp_path: Path) -> None:
    stack, authority, port = encrypted
    certificate, key = authority.sign("client", "DNS:client")
    foreign, foreign_key = Authority(tmp_path / "wrong").sign("client", "DNS:client")
    trusted = {"ssl_ca_certs": authority.certificate}
    await comes_through(stack, port, trusted | {"ssl_certfile": certificate, "ssl_keyfile": key})

    def start(**parameters: object) -> Process:
        return stack.start("writer", REDIS_URL=rediss(port, "writer", trusted | parameters))

    await stops(start(ssl_certfile=certificate, ssl_keyfile=foreign_key), f"REDIS_URL: {certificate} and its key: ")
    await stops(start(ssl_certfile=tmp_path / "absent"), f"REDIS_URL: {tmp_path / 'absent'}: no such file")
    await stops(start(ssl_certfile=tmp_path), f"REDIS_URL: {tmp_path}: no such file")
    await stops(start(ssl_keyfile=key), f"REDIS_URL: {key}: a key without its certificate")
    # Redis rejects us with a reply, which is permanent, or just hangs up, which looks like an outage.
    for process in (start(), start(ssl_certfile=foreign, ssl_keyfile=foreign_key)):
        await eventually(partial(is_refused_or_waits, process))
        assert process.get("/readyz")[0] != 200
        assert "Traceback" not in process.log
