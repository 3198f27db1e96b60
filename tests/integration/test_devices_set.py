"""`traksense-ingest devices set`: the interval that counts instead of the learned one, and what it refuses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.support.stack import Stack
from tests.support.waiting import eventually

DEVICES = """
INSERT INTO device (tenant_id, device_id, site_id, first_seen, last_seen, interval_s)
SELECT tenant, device, site, now() - interval '9 days', now() - interval '3 hours', 60
FROM (VALUES
    ('acme', 'meter', 'roof'), ('acme', 'door-2', 'north'), ('acme', 'door-1', 'north'), ('frigo', 'door-1', 'north')
) AS one (tenant, device, site)
"""

WAITS = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid)))"


@pytest.fixture
async def filled(stack: Stack) -> Stack:
    await stack.execute(DEVICES)
    return stack


@pytest.fixture
async def guest(filled: Stack) -> AsyncIterator[str]:
    """The database's URL with a role that may change the table, and that row level security concerns."""
    name = f"guest_{filled.database_url.rpartition('/')[2]}"
    await filled.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'guest'")
    await filled.execute(f"GRANT SELECT, UPDATE ON device, device_status TO {name}")
    yield filled.database_url.replace("//postgres:postgres@", f"//{name}:guest@")
    await filled.execute(f"DROP OWNED BY {name}")
    await filled.execute(f"DROP ROLE {name}")


async def intervals(stack: Stack) -> dict[str, float | None]:
    rows = await stack.fetch("SELECT tenant_id || '/' || device_id AS name, expected_interval_s FROM device")
    return dict(tuple(row) for row in rows if row["expected_interval_s"] is not None)


async def changes(stack: Stack, *words: str, **variables: object) -> str:
    done = await stack.command("devices", "set", *words, **variables)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


async def test_it_counts_instead_of_the_learned_one_until_that_is_wanted_again(filled: Stack) -> None:
    shown = "SELECT status, expected_interval_s FROM device_status WHERE (tenant_id, device_id) = ('acme', 'door-1')"
    assert tuple((await filled.fetch(shown))[0]) == ("silent", 60)
    assert await changes(filled, "acme", "door-1", "--interval", "86400") == "1 device: interval 86400 s\n"
    assert tuple((await filled.fetch(shown))[0]) == ("online", 86_400)
    assert await intervals(filled) == {"acme/door-1": 86_400}
    assert await changes(filled, "acme", "door-1", "--interval", "learned") == "1 device: interval learned\n"
    assert tuple((await filled.fetch(shown))[0]) == ("silent", 60)
    assert await intervals(filled) == {}


async def test_of_many_at_once(filled: Stack) -> None:
    assert (
        await changes(filled, "acme", "meter", "door-1", "meter", "--interval", "1.5") == "2 devices: interval 1.5 s\n"
    )
    assert await intervals(filled) == {"acme/door-1": 1.5, "acme/meter": 1.5}
    assert await changes(filled, "acme", "--site", "north", "--interval", "900") == "2 devices: interval 900 s\n"
    assert await intervals(filled) == {"acme/door-1": 900, "acme/door-2": 900, "acme/meter": 1.5}
    assert await changes(filled, "acme", "--all", "--interval", "60") == "3 devices: interval 60 s\n"
    assert {*await intervals(filled)} == {"acme/door-1", "acme/door-2", "acme/meter"}, "of no other tenant"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("acme", "door-1", "door-9", "door-8"), "acme: there is no such device: door-9, door-8"),
        (("nobody", "door-1"), "nobody: there is no such device: door-1"),
        (("acme", "--site", "north\x1b"), r"acme: there is no device at the site north\x1b"),
        (("nobody", "--all"), "there is no device of the tenant nobody"),
    ],
)
async def test_what_is_not_known_changes_nothing(filled: Stack, words: tuple[str, ...], line: str) -> None:
    done = await filled.command("devices", "set", *words, "--interval", "9")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith(f"{line}; nothing was changed")
    assert await intervals(filled) == {}


async def test_as_the_role_of_the_writer(filled: Stack) -> None:
    await filled.execute("ALTER ROLE traksense_writer LOGIN PASSWORD 'writer'")
    url = filled.database_url.replace("//postgres:postgres@", "//traksense_writer:writer@")
    assert await changes(filled, "frigo", "--all", "--interval", "9", DATABASE_URL=url) == "1 device: interval 9 s\n"
    assert await intervals(filled) == {"frigo/door-1": 9}


async def test_a_role_that_does_not_see_all_devices(filled: Stack, guest: str) -> None:
    done = await filled.command("devices", "set", "acme", "door-1", "--interval", "9", DATABASE_URL=guest)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "connect as the tables' owner or as traksense_writer" in done.stderr


async def test_it_waits_for_a_writer_that_has_a_row(filled: Stack) -> None:
    """A writer takes its rows in the order of their names, so the command has none that it needs next."""
    writer = await asyncpg.connect(filled.database_url)
    async with writer.transaction():
        await writer.execute("UPDATE device SET last_seen = now() WHERE device_id = 'door-2'")
        command = asyncio.create_task(changes(filled, "acme", "--all", "--interval", "60"))
        await eventually(lambda: writer.fetchval(WAITS), "the command waits")
        await writer.execute("SELECT FROM device WHERE device_id = 'meter' FOR NO KEY UPDATE NOWAIT")
    assert await command == "3 devices: interval 60 s\n"
    await writer.close()
