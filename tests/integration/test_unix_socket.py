"""PostgreSQL on the same machine, by its Unix socket."""

from __future__ import annotations

from urllib.parse import urlsplit

from tests.support.stack import Stack, telem

CLIENTS = """
SELECT DISTINCT client_addr IS NULL FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE 'traksense%'
"""


async def test_a_writer_stores_through_a_unix_socket(stack: Stack) -> None:
    server = urlsplit(stack.database_url)
    directory = await stack.fetchval("SHOW unix_socket_directories")
    url = f"postgresql://{server.path}?host={directory}&port={server.port}&user={server.username}"
    await stack.writer(DATABASE_URL=url)
    await stack.append(*telem(points=3))
    await stack.has_rows("ts_measure", 3)
    assert [row[0] for row in await stack.fetch(CLIENTS)] == [True], "all of its connections have no address"
    assert (await stack.command("migrate", DATABASE_URL=url)).returncode == 0
