"""What ends a command or a service: one line for a person, and an exit code. `shared/failure.py` has all other errors.

`shared/runtime/service.py` catches it for the services, `ops/cli.py` for the commands, and nobody else does.
"""

from __future__ import annotations


class IngestError(Exception):
    """This process can't go on; the message is what a person needs to know, mostly one line."""

    exit_code = 1


class ConfigurationError(IngestError):
    """… and starting it again doesn't help: a variable, a file, a password or the database's schema must change first.

    Of several wrong variables the message has a line for each.
    """

    exit_code = 2
