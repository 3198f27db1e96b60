"""A database or a Redis that a writer can't use is waited for."""

from __future__ import annotations

from tests.support.stack import Stack, telem
from tests.support.streams import append_all
from tests.support.waiting import eventually
from traksense_ingest.shared.streams.keys import GROUP, key_of


async def test_an_unreachable_database_is_never_mistaken_for_bad_data(stack: Stack) -> None:
    writer = await stack.writer(INGEST_CLAIM_IDLE_MS=500)
    await stack.refuse_connections()
    await append_all(stack, (telem(second=second) for second in range(50)))
    await stack.append("traksense/t/s/dev/telem", b"poison")
    await writer.says("database is unreachable, waiting for it")
    await eventually(lambda: writer.get("/readyz")[0] == 503)
    await eventually(lambda: writer.metric("ingest_errors_total", reason="db_error") >= 5)
    assert await stack.backlog() == 51
    await stack.allow_connections()
    await stack.has_rows("ts_measure", 50)
    assert await stack.count("ingest_errors") == 1
    await eventually(lambda: writer.get("/readyz")[0] == 200)
    assert writer.log.count("database is unreachable") == 1


async def test_a_read_only_database_is_an_outage(stack: Stack) -> None:
    await stack.administer("ALTER DATABASE {name} SET default_transaction_read_only = on")
    writer = stack.start("writer", DB_POOL_MIN=0)
    await stack.append(*telem())
    await writer.says("database can't be used, waiting for it: transactions are read-only")
    await stack.administer("ALTER DATABASE {name} SET default_transaction_read_only = off")
    await stack.end_sessions()
    await stack.has_rows("ts_measure", 1)
    assert await stack.count("ingest_errors") == 0


async def test_an_unreachable_redis_is_waited_for(stack: Stack) -> None:
    writer = await stack.writer()
    for second in range(20):
        await stack.append(*telem(second=second))
    await stack.has_rows("ts_measure", 20)
    stack.redis_server.kill()
    await writer.says("redis is unreachable, waiting for it")
    stack.redis_server.start()
    await eventually(lambda: writer.get("/readyz")[0] == 200)
    for second in range(20, 40):
        await stack.append(*telem(second=second))
    await stack.has_rows("ts_measure", 40)
    assert writer.log.count("redis is unreachable") == 1


async def test_a_group_that_was_destroyed_is_made_again(stack: Stack) -> None:
    writer = await stack.writer()
    await stack.append(*telem(second=1))
    await stack.has_rows("ts_measure", 1)
    await stack.redis.xgroup_destroy(key_of(0), GROUP)
    await stack.append(*telem(second=2))
    await stack.has_rows("ts_measure", 2)
    await stack.redis.delete(key_of(0))
    await stack.append(*telem(second=3))
    await stack.has_rows("ts_measure", 3)
    assert "Traceback" not in writer.log


async def test_a_database_without_a_free_connection_is_waited_for(stack: Stack) -> None:
    name = stack.database_url.rpartition("/")[2]
    await stack.execute(f"CREATE ROLE few_{name} LOGIN BYPASSRLS CONNECTION LIMIT 1 PASSWORD 'few'")
    for those in ("TABLES", "FUNCTIONS"):
        await stack.execute(f"GRANT ALL ON ALL {those} IN SCHEMA public TO few_{name}")
    url = stack.database_url.replace("//postgres:postgres@", f"//few_{name}:few@")
    writer = stack.start("writer", DATABASE_URL=url)
    await writer.says("database is unreachable, waiting for it: too many connections for role")
    await stack.execute(f"ALTER ROLE few_{name} CONNECTION LIMIT 20")
    await writer.ready()
    writer.kill()
    await stack.execute(f"DROP OWNED BY few_{name}")
    await stack.execute(f"DROP ROLE few_{name}")


async def test_what_was_set_for_a_session_ends_with_the_outage_that_it_made(stack: Stack) -> None:
    """New sessions are read-only for a while: a writer that went on with one would never store again."""
    writer = await stack.writer()
    await stack.administer("ALTER DATABASE {name} SET default_transaction_read_only = on")
    await stack.end_sessions()
    await stack.append(*telem())
    await eventually(lambda: writer.metric("ingest_errors_total", reason="db_error") >= 5, "tried in new sessions")
    await stack.administer("ALTER DATABASE {name} RESET default_transaction_read_only")
    await stack.has_rows("ts_measure", 1)
