"""The values of the command line's options that click has no type for."""

from __future__ import annotations

from datetime import UTC, datetime

import click

TENANT_MAX = 128  # characters
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)


def moment(_ctx: click.Context, _param: click.Parameter, value: str | None) -> datetime | None:
    """An RFC 3339 timestamp with Z or an offset, from 2000 on, in UTC; raises BadParameter."""
    if value is None:
        return None
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is no RFC 3339 timestamp, as 2025-10-07T15:30:00Z") from None
    if parsed.tzinfo is None:
        raise click.BadParameter(f"{value!r} has no Z or offset, as 2025-10-07T15:30:00Z")
    if parsed < _EARLIEST:
        raise click.BadParameter(f"{value!r} is before 2000-01-01")
    return parsed.astimezone(UTC)


def tenant_name(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    """A name that fits in a topic; raises BadParameter."""
    if not 1 <= len(value) <= TENANT_MAX or not value.isprintable() or set(value) & set("/+#"):
        raise click.BadParameter(
            f"{value!r} should have 1 to {TENANT_MAX} characters, no /, + or # and no control characters"
        )
    return value


class Failed(click.ClickException):
    """One line on stderr, exit code 2."""

    exit_code = 2


def tenants_of(name: str, number: int) -> tuple[str, ...]:
    """The names of so many tenants; raises Failed when one is too long."""
    names = (name,) if number == 1 else tuple(f"{name}-{place}" for place in range(1, number + 1))
    if len(names[-1]) > TENANT_MAX:
        raise Failed(f"--tenant: {names[-1]!r} has more than {TENANT_MAX} characters")
    return names
