"""What `migrate` does not do."""

from __future__ import annotations


class Refused(Exception):
    """The variables ask for what would lay data open or can't be; nothing was changed. The message is one line."""
