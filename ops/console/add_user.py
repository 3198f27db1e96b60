"""`console user`: adds a line to the file of users, or replaces it."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from traksense_ingest.ops.console.guard.private import write_private
from traksense_ingest.ops.console.guard.users import NAME, ROLES, User, read_users
from traksense_ingest.shared.errors import ConfigurationError

PASSWORD_MIN = 8  # characters


def add_user(name: str, users: Path, role: str) -> None:
    """Write the user's line; other lines of the file stay as they are. Raises ConfigurationError and UsageError."""
    if not NAME.fullmatch(name):
        raise click.UsageError(f"NAME: {name!r} has other characters than letters, digits, and . _ @ -")
    text = _text(users)
    known = read_users(users) if text.strip() else {}
    line = User.with_password(name, ROLES[role], _password()).line()
    lines = [*(each for each in text.splitlines() if each.partition(":")[0] != name), line]
    write_private(users, "".join(f"{each}\n" for each in lines), "--users")
    click.echo(f"{name} is {'changed' if name in known else 'added'} in {users} as {role}", err=True)


def _text(users: Path) -> str:
    """What is in the file; nothing if there is none."""
    try:
        return users.read_text(encoding="utf-8") if users.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"--users {users}: {getattr(error, 'strerror', None) or error}") from None


def _password() -> str:
    if sys.stdin.isatty():
        password = str(click.prompt("password", hide_input=True, confirmation_prompt=True))
    else:
        password = sys.stdin.readline().rstrip("\n")
    if len(password) < PASSWORD_MIN:
        raise click.UsageError(f"the password has fewer than {PASSWORD_MIN} characters")
    return password
