"""The two roles."""

from __future__ import annotations

from enum import IntEnum


class Role(IntEnum):
    """What a user may do; a higher one may do all that a lower one may."""

    NOBODY = 0  # not logged in
    VIEWER = 1  # sees everything, changes nothing
    OPERATOR = 2  # replays dead letters too
