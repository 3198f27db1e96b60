"""A wrong password is one clear line and exit code 2; the right one works."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.support.stack import Stack, telem
from tests.support.waiting import eventually
from traksense_ingest.ops.embedded import Server

SECRET = "s3cret-of-the-test"


@pytest.mark.long
async def test_redis(stack: Stack) -> None:
    await stack.redis.config_set("requirepass", SECRET)
    address = f"127.0.0.1:{stack.redis_server.port}/0"
    for service in ("receiver", "writer"):
        for password in ("", ":wrong@"):
            process = stack.start(service, REDIS_URL=f"redis://{password}{address}")
            assert process.wait() == 2
            assert process.log.splitlines()[-1].startswith("REDIS_URL: redis: ")
            assert "Traceback" not in process.log
        process = stack.start(service, REDIS_URL=f"redis://:{SECRET}@{address}9999")
        assert process.wait() == 2
        assert "DB index" in process.log.splitlines()[-1]
        assert SECRET not in (await stack.start(service, REDIS_URL=f"redis://:{SECRET}@{address}").ready()).log


@pytest.fixture
async def password_needed(stack: Stack, postgres: Server) -> Any:
    """A role that must give its password; everybody else goes on as before."""
    name = stack.database_url.rpartition("/")[2]
    role = f"writer_{name}"
    await stack.execute(f"CREATE ROLE {role} LOGIN SUPERUSER PASSWORD '{SECRET}'")
    rules = Path(await stack.fetchval("SHOW hba_file"))
    before = rules.read_text()
    rules.write_text(f"host all {role} 127.0.0.1/32 scram-sha-256\n{before}")
    await stack.execute("SELECT pg_reload_conf()")
    yield role
    rules.write_text(before)
    await stack.execute("SELECT pg_reload_conf()")
    await stack.execute(f"DROP ROLE {role}")


@pytest.mark.parametrize("named_by", ["?passfile=", "PGPASSFILE"])
async def test_a_password_file_is_read_again_at_each_connection(
    stack: Stack, password_needed: str, tmp_path: Path, named_by: str
) -> None:
    """A password that is rotated needs no restart."""
    file = tmp_path / "pgpass"
    file.write_text(f"*:*:*:{password_needed}:{SECRET}\n")
    file.chmod(0o600)
    url = f"postgresql://{password_needed}@{stack.database_url.partition('@')[2]}"
    if named_by == "PGPASSFILE":
        writer = await stack.writer(DATABASE_URL=url, PGPASSFILE=file)
    else:
        writer = await stack.writer(DATABASE_URL=f"{url}?passfile={file}")
    await stack.execute(f"ALTER ROLE {password_needed} PASSWORD '{SECRET}-2'")
    await stack.end_sessions()
    await stack.append(*telem())
    await eventually(lambda: writer.get("/readyz")[0] == 503)
    file.write_text(f"*:*:*:{password_needed}:{SECRET}-2\n")
    await stack.has_rows("ts_measure", 1)
    assert await stack.count("ingest_errors") == 0
    assert SECRET not in writer.log
    writer.kill()


async def test_the_database(stack: Stack, password_needed: str) -> None:
    address = stack.database_url.partition("@")[2]
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(f"postgresql://{password_needed}:wrong@{address}")
    writer = stack.start("writer", DATABASE_URL=f"postgresql://{password_needed}:wrong@{address}")
    assert writer.wait() == 2
    assert writer.log.splitlines()[-1].startswith("DATABASE_URL: database: password authentication failed")
    assert "Traceback" not in writer.log
    right = await stack.writer(DATABASE_URL=f"postgresql://{password_needed}:{SECRET}@{address}")
    await stack.append(*telem())
    await stack.has_rows("ts_measure", 1)
    assert SECRET not in right.log
    right.kill()
