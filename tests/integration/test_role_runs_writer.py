"""The role traksense_writer is all that a writer needs: the writer's own tests pass as it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration import test_cases, test_writer_claims, test_writer_outages, test_writer_rejects, test_writer_rows
from tests.support.handbook import blocks
from tests.support.stack import Stack, telem
from tests.support.writer_role import SECRET, AsWriterRole, as_writer_role, url_of
from traksense_ingest.shared.database import NotMigrated, check

pytestmark = pytest.mark.long

test_as_it_each_case_comes_out = test_cases.test_each_case_comes_out_as_it_does_alone
test_as_it_a_batch_mate_of_poison_is_stored = test_writer_rejects.test_a_batch_mate_of_poison_is_stored
test_as_it_an_entry_is_given_up = test_writer_rejects.test_an_entry_that_makes_the_writer_fail_is_retried_and_given_up
test_as_it_a_frozen_transaction_is_ended = test_writer_claims.test_a_writer_frozen_in_a_transaction_holds_nobody_up
test_as_it_acks_are_upserted = test_writer_rows.test_an_ack_published_three_times_is_one_row
test_as_it_devices_are_known = test_writer_rows.test_devices_are_known
test_as_it_events_are_stored_once = test_writer_rows.test_events_are_stored_once
test_as_it_chunks_are_created = test_writer_rows.test_timestamps_out_of_order_are_all_stored
test_as_it_duplicates_are_stored_once = test_writer_rows.test_what_is_stored_already_is_stored_once_and_counted
test_as_it_outages_are_waited_for = test_writer_outages.test_an_unreachable_database_is_never_mistaken_for_bad_data


@pytest.fixture
async def stack(stack: Stack, tmp_path: Path) -> AsyncIterator[Stack]:
    async with as_writer_role(stack, tmp_path) as as_role:
        yield as_role


async def test_the_statement_of_the_page_is_all_that_a_writer_needs(stack: AsWriterRole) -> None:
    (login, *_) = blocks("sql")
    await stack.execute(login.replace("PASSWORD'", f"{SECRET}'"))
    try:
        await stack.writer(DATABASE_URL=url_of(stack, "traksense_writer"))
        await stack.append(*telem())
        await stack.has_rows("ts_measure", 1)
        await stack.end_sessions()
    finally:
        await stack.execute("ALTER ROLE traksense_writer NOLOGIN PASSWORD NULL")


async def test_so_is_a_login_role_of_its_own(stack: AsWriterRole) -> None:
    (_, create, _) = blocks("sql")
    role = f"own_{stack.database_url.rpartition('/')[2]}"
    await stack.execute(create.replace("ingest_1", role).replace("PASSWORD'", f"{SECRET}'"))
    await check(url_of(stack, role))
    await stack.execute(f"DROP ROLE {role}")


async def test_a_login_role_may_become_the_role(stack: AsWriterRole) -> None:
    role = f"guest_{stack.database_url.rpartition('/')[2]}"
    await stack.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{SECRET}' IN ROLE traksense_writer")
    with pytest.raises(NotMigrated, match="row level security"):
        await check(url_of(stack, role))
    await stack.execute(f"ALTER ROLE {role} SET role = traksense_writer")
    await stack.writer(DATABASE_URL=url_of(stack, role))
    await stack.append(*telem())
    await stack.append(*telem())
    await stack.has_rows("ts_measure", 1)
    await stack.end_sessions()
    await stack.execute(f"DROP ROLE {role}")
