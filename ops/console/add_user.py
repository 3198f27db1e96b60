"""What `console user` does: a line of the file of users."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from traksense_ingest.ops.console.guard.users import NAME, ROLES, User, read_users
from traksense_ingest.shared.errors import ConfigurationError

PASSWORD_MIN = 8  # characters


def add_user(name: str, users: Path, role: str) -> None:
    """Write the user's line; the others of the file stay as they are. Raises ConfigurationError and UsageError."""
    if not NAME.fullmatch(name):
        raise click.UsageError(f"NAME: {name!r} has other characters than letters, digits, and . _ @ -")
    known = read_users(users) if users.exists() and users.read_text(encoding="utf-8").strip() else {}
    line = User.with_password(name, ROLES[role], _password()).line()
    kept = users.read_text(encoding="utf-8").splitlines() if users.exists() else []
    lines = [*(each for each in kept if each.partition(":")[0] != name), line]
    _write(users, "".join(f"{each}\n" for each in lines))
    click.echo(f"{name} is {'changed' if name in known else 'added'} in {users} as {role}", err=True)


def _password() -> str:
    if sys.stdin.isatty():
        password = str(click.prompt("password", hide_input=True, confirmation_prompt=True))
    else:
        password = sys.stdin.readline().rstrip("\n")
    if len(password) < PASSWORD_MIN:
        raise click.UsageError(f"the password has fewer than {PASSWORD_MIN} characters")
    return password


def _write(path: Path, text: str) -> None:
    """A file that only its owner can read, and that is never half written."""
    part = path.with_name(f"{path.name}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(part, path)
    except OSError as error:
        raise ConfigurationError(f"--users {path}: {error.strerror}") from None
