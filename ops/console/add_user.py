"""`console user`: adds a line to the file of users, or replaces it."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from traksense_ingest.ops.console.guard.private import write_private
from traksense_ingest.ops.console.guard.users import NAME, ROLES, User, lines_of, users_of

PASSWORD_MIN = 8  # characters


def add_user(name: str, users: Path, role: str) -> None:
    """Write the user's line; other lines of the file stay as they are. Raises ConfigurationError and UsageError."""
    if not NAME.fullmatch(name):
        raise click.UsageError(f"NAME: {name!r} has other characters than letters, digits, and . _ @ -")
    lines = lines_of(users, missing_ok=True)
    known = users_of(lines, users)
    line = User.with_password(name, ROLES[role], _password()).line()
    kept = (each for each in lines if each.partition(":")[0] != name)
    write_private(users, "".join(f"{each}\n" for each in (*kept, line)), "--users")
    click.echo(f"{name} is {'changed' if name in known else 'added'} in {users} as {role}", err=True)


def _password() -> str:
    if sys.stdin.isatty():
        password = str(click.prompt("password", hide_input=True, confirmation_prompt=True))
    else:
        password = sys.stdin.readline().rstrip("\n")
    if len(password) < PASSWORD_MIN:
        raise click.UsageError(f"the password has fewer than {PASSWORD_MIN} characters")
    return password
