"""sslmode=verify-full and client certificates at a real PostgreSQL: wrong ones are one clear line and exit code 2."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import asyncpg
import pytest

from tests.support import program
from tests.support.certificates import Authority, can_sign
from tests.support.stack import Stack, telem
from tests.support.waiting import eventually
from traksense_ingest.ops.embedded import Server

SECRET = "s3cret-of-the-test"
FILES = ("ssl_cert_file", "ssl_key_file", "ssl_ca_file")


class Guarded(NamedTuple):
    """A stack on a PostgreSQL with TLS for 127.0.0.1, and a role that gets in only with it."""

    stack: Stack
    authority: Authority
    role: str

    def url(self, host: str = "127.0.0.1", **parameters: object) -> str:
        """The role's URL, verify-full with the right CA unless said otherwise."""
        address = self.stack.database_url.rpartition(":")[2]
        given = {"sslmode": "verify-full", "sslrootcert": self.authority.certificate} | parameters
        query = "&".join(f"{name}={value}" for name, value in given.items() if value)
        return f"postgresql://{self.role}:{SECRET}@{host}:{address}?{query}"

    async def stops(self, url: str, line: str) -> str:
        """A writer ends with exit code 2 and one line that begins so; returns that line."""
        writer = self.stack.start("writer", DATABASE_URL=url)
        assert await asyncio.to_thread(writer.wait) == 2, writer.log
        last = writer.log.splitlines()[-1]
        assert last.startswith(line), writer.log
        assert "Traceback" not in writer.log
        assert SECRET not in writer.log
        return last


@pytest.fixture
async def guarded(stack: Stack, postgres: Server, request: pytest.FixtureRequest) -> AsyncIterator[Guarded]:
    if not can_sign():
        pytest.skip("needs openssl")
    if not await has_tls(stack):
        pytest.skip("this PostgreSQL is built without TLS")
    role = f"tls_of_{stack.database_url.rpartition('/')[2]}"
    authority = Authority(postgres.directory / role)
    rules = Path(await stack.fetchval("SHOW hba_file"))
    before = rules.read_text()
    for setting, path in zip(FILES, server_files(authority, rules), strict=True):
        await stack.execute(f"ALTER SYSTEM SET {setting} = '{path}'")
    await stack.execute("ALTER SYSTEM SET ssl = on")
    await stack.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{SECRET}' BYPASSRLS IN ROLE traksense_writer")
    method = getattr(request, "param", "scram-sha-256")
    rules.write_text(f"hostssl all {role} 127.0.0.1/32 {method}\nhost all {role} 127.0.0.1/32 reject\n{before}")
    await stack.execute("SELECT pg_reload_conf()")
    await eventually(lambda: is_encrypting(stack))
    yield Guarded(stack, authority, role)
    rules.write_text(before)
    for setting in ("ssl", *FILES):
        await stack.execute(f"ALTER SYSTEM RESET {setting}")
    await stack.execute("SELECT pg_reload_conf()")
    await stack.end_sessions()
    await stack.execute(f"DROP ROLE {role}")


def server_files(authority: Authority, like: Path) -> tuple[Path, Path, Path]:
    """Certificate, key and CA, the key its user's alone: PostgreSQL refuses one that others can read."""
    certificate, key = authority.sign("postgres", "IP:127.0.0.1")
    os.chown(key, like.stat().st_uid, like.stat().st_gid)
    key.chmod(0o600)
    return certificate, key, authority.certificate


async def has_tls(stack: Stack) -> bool:
    try:
        await stack.execute("ALTER SYSTEM SET ssl = on")
    except asyncpg.InvalidParameterValueError:
        return False
    await stack.execute("ALTER SYSTEM RESET ssl")
    return True


async def is_encrypting(stack: Stack) -> bool:
    connection = await asyncpg.connect(stack.database_url)
    try:
        return bool(await connection.fetchval("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"))
    finally:
        await connection.close()


async def ops(command: str, url: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(program.run, "ops", command, environment={"DATABASE_URL": url})


async def comes_through(guarded: Guarded, url: str) -> None:
    writer = await guarded.stack.writer(DATABASE_URL=url)
    await guarded.stack.append(*telem())
    await guarded.stack.append("traksense/t/s/dev/telem", b"poison")
    await guarded.stack.has_rows("ts_measure", 1)
    sessions = "FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = $1"
    ciphered = await guarded.stack.fetchval(f"SELECT bool_and(ssl) {sessions}", guarded.role)
    assert ciphered
    assert SECRET not in writer.log
    assert writer.stop() == 0


async def test_verify_full(guarded: Guarded, tmp_path: Path) -> None:
    await comes_through(guarded, guarded.url())
    other = Authority(tmp_path / "wrong").certificate
    refused = "DATABASE_URL: database: [SSL: CERTIFICATE_VERIFY_FAILED]"
    await guarded.stops(guarded.url(sslrootcert=other), refused)
    assert "localhost" in await guarded.stops(guarded.url("localhost"), refused)
    await guarded.stops(guarded.url(sslmode="verify-ca", sslrootcert=other), refused)
    await guarded.stops(guarded.url(sslrootcert=""), "DATABASE_URL: database: root certificate file")
    absent = tmp_path / "absent.pem"
    await guarded.stops(guarded.url(sslrootcert=absent), f"DATABASE_URL: {absent}: no such file")
    no_pem = Path(__file__)
    await guarded.stops(guarded.url(sslrootcert=no_pem), f"DATABASE_URL: {no_pem}: [X509: NO_CERTIFICATE_OR_CRL_FOUND]")
    await guarded.stops(guarded.url(sslmode="perhaps"), "DATABASE_URL: database: `sslmode` parameter must be one of")
    await guarded.stops(guarded.url(sslmode="disable", sslrootcert=""), "DATABASE_URL: database: ")


@pytest.mark.parametrize("command", ["migrate", "validate"])
async def test_the_commands_too(guarded: Guarded, tmp_path: Path, command: str) -> None:
    wrong = await ops(command, guarded.url(sslrootcert=Authority(tmp_path / "wrong").certificate))
    output = wrong.stdout + wrong.stderr
    assert wrong.returncode == (2 if command == "migrate" else 1)
    assert "CERTIFICATE_VERIFY_FAILED" in output
    assert SECRET not in output
    assert "Traceback" not in output


@pytest.mark.parametrize("guarded", ["cert"], indirect=True)
async def test_client_certificates(guarded: Guarded, tmp_path: Path) -> None:
    certificate, key = guarded.authority.sign(guarded.role, "DNS:client")
    await comes_through(guarded, guarded.url(sslcert=certificate, sslkey=key))
    await guarded.stops(guarded.url(), "DATABASE_URL: database: connection requires a valid client certificate")
    named_otherwise, its_key = guarded.authority.sign("somebody", "DNS:client")
    await guarded.stops(
        guarded.url(sslcert=named_otherwise, sslkey=its_key),
        "DATABASE_URL: database: certificate authentication failed",
    )
    foreign, foreign_key = Authority(tmp_path / "wrong").sign(guarded.role, "DNS:client")
    await guarded.stops(
        guarded.url(sslcert=certificate, sslkey=foreign_key), f"DATABASE_URL: {certificate} and its key"
    )
    # The server hangs up in the middle of the handshake, which can't be distinguished from one that is going away.
    untrusted = guarded.stack.start("writer", DATABASE_URL=guarded.url(sslcert=foreign, sslkey=foreign_key))
    await untrusted.says("database is unreachable, waiting for it")
    assert untrusted.get("/readyz")[0] == 503
    assert "Traceback" not in untrusted.log


async def test_a_server_without_tls_is_refused(stack: Stack) -> None:
    if await stack.fetchval("SHOW ssl") == "on":
        pytest.skip("this PostgreSQL has TLS on")
    writer = stack.start("writer", DATABASE_URL=f"{stack.database_url}?sslmode=require")
    assert await asyncio.to_thread(writer.wait) == 2
    assert "rejected SSL upgrade" in writer.log.splitlines()[-1]


@pytest.mark.parametrize("parameter", ["no_such_setting=1", "statement_timeout=soon"])
async def test_a_parameter_that_nobody_knows_is_one_line(stack: Stack, parameter: str) -> None:
    writer = stack.start("writer", DATABASE_URL=f"{stack.database_url}?{parameter}")
    assert await asyncio.to_thread(writer.wait) == 2
    assert writer.log.splitlines()[-1].startswith("DATABASE_URL: database: ")
    assert "Traceback" not in writer.log
