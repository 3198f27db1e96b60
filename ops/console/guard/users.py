"""The file of users: one a line, `name:role:scrypt$N$r$p$salt$key`, as `traksense-ingest console user` writes it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from traksense_ingest.ops.console.guard.roles import Role
from traksense_ingest.shared.errors import ConfigurationError

N, R, P = 2**15, 8, 1  # 32 MiB and some 80 ms a guess
MEMORY = 64 * 1024 * 1024
NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")
ROLES = {"viewer": Role.VIEWER, "operator": Role.OPERATOR}


@dataclass(frozen=True)
class User:
    """A line of the file."""

    name: str
    role: Role
    salt: bytes
    key: bytes
    cost: tuple[int, int, int]  # N, r, p

    @classmethod
    def with_password(cls, name: str, role: Role, password: str) -> User:
        """A user with a new salt."""
        salt, cost = secrets.token_bytes(16), (N, R, P)
        return cls(name, role, salt, _derived(password, salt, cost), cost)

    def has(self, password: str) -> bool:
        """Whether this is the password; takes as long for a wrong one."""
        return hmac.compare_digest(_derived(password, self.salt, self.cost), self.key)

    def line(self) -> str:
        """For the file."""
        cost = "$".join(map(str, self.cost))
        salt, key = (base64.b64encode(value).decode() for value in (self.salt, self.key))
        return f"{self.name}:{self.role.name.lower()}:scrypt${cost}${salt}${key}"


# For a name that is not a user's: the check takes the same time as for a wrong password.
_NOBODY = User("", Role.NOBODY, bytes(16), bytes(32), (N, R, P))


def read_users(path: Path) -> dict[str, User]:
    """All of a file, by name. Raises ConfigurationError, with the line that is wrong."""
    users = users_of(lines_of(path), path)
    if not users:
        raise ConfigurationError(f"--users {path}: no users; add one with `traksense-ingest console user NAME`")
    return users


def lines_of(path: Path, *, missing_ok: bool = False) -> list[str]:
    """Of a file; none if it may be missing, and is. Raises ConfigurationError."""
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        if missing_ok and isinstance(error, FileNotFoundError):
            return []
        raise ConfigurationError(f"--users {path}: {getattr(error, 'strerror', None) or error}") from None


def users_of(lines: Sequence[str], path: Path) -> dict[str, User]:
    """By name; none of a file with comments alone. Raises ConfigurationError, with the line that is wrong."""
    users: dict[str, User] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        user = _parsed(line)
        if user is None or user.name in users:
            what = (
                "no user, as `traksense-ingest console user` writes one" if user is None else "an earlier line's name"
            )
            raise ConfigurationError(f"--users {path}: line {number} has {what}")
        users[user.name] = user
    return users


def logged_in(users: Mapping[str, User], name: str, password: str) -> User | None:
    """The user with this name and password, if there is one. Takes some 80 ms, whether there is or not."""
    user = users.get(name, _NOBODY)
    return user if user.has(password) and user is not _NOBODY else None


def _parsed(line: str) -> User | None:
    name, _, rest = line.strip().partition(":")
    role, _, secret = rest.partition(":")
    found = re.fullmatch(r"scrypt\$(\d+)\$(\d+)\$(\d+)\$([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+)", secret)
    if not found or role not in ROLES or not NAME.fullmatch(name):
        return None
    try:
        salt, key = (base64.b64decode(found[group], validate=True) for group in (4, 5))
    except ValueError:
        return None
    n, r, p = cost = int(found[1]), int(found[2]), int(found[3])
    is_accepted = n > 1 and n & (n - 1) == 0 and r > 0 and 0 < p <= 16 and 128 * n * r < MEMORY  # by scrypt
    return User(name, ROLES[role], salt, key, cost) if is_accepted else None


def _derived(password: str, salt: bytes, cost: tuple[int, int, int]) -> bytes:
    n, r, p = cost
    return hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, maxmem=MEMORY, dklen=32)
