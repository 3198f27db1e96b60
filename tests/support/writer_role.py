"""Login roles that are members of traksense_writer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.stack import Stack

SECRET = "s3cret-of-the-test"


class AsWriterRole(Stack):
    """A stack whose services connect to the database as a login role that is a member of traksense_writer."""

    role_url = ""

    @property
    def addresses(self) -> dict[str, str]:
        return super().addresses | {"DATABASE_URL": self.role_url}


@asynccontextmanager
async def as_writer_role(stack: Stack, directory: Path) -> AsyncIterator[AsWriterRole]:
    """The same servers for a stack whose services connect as a role of this test's own."""
    as_role = AsWriterRole(stack.broker, stack.redis_server, stack.database_url, directory)
    async with login_role(stack) as as_role.role_url:
        yield as_role
        await as_role.close()


@asynccontextmanager
async def login_role(stack: Stack, options: str = "BYPASSRLS IN ROLE traksense_writer") -> AsyncIterator[str]:
    """The URL of a role of this test's own, made as docs/security.md says."""
    name = stack.database_url.rpartition("/")[2]
    role = f"writer_of_{name}"
    await stack.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{SECRET}' {options}")
    yield url_of(stack, role)
    await stack.execute(f"DROP OWNED BY {role}")
    await stack.execute(f"DROP ROLE {role}")


def url_of(stack: Stack, role: str) -> str:
    """The database, for a role with the password of the tests."""
    return stack.database_url.replace("//postgres:postgres@", f"//{role}:{SECRET}@")
