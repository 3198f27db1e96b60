"""Files that only their owner may read, and perhaps its group."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from traksense_ingest.shared.errors import ConfigurationError


def write_private(path: Path, text: str, what: str) -> None:
    """A file that others can't read, and that is never half written. One that exists keeps its owner and group, where
    this user may set them: root changes the file of a service. Raises ConfigurationError, which begins with `what`:
    the option that named the path."""
    part = path.with_name(f"{path.name}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o600)  # the file may be left from a run that was killed
            with contextlib.suppress(FileNotFoundError, PermissionError):
                _keep_owner(path, file.fileno())
            file.write(text)
        os.replace(part, path)
    except OSError as error:
        raise ConfigurationError(f"{what} {path}: {error.strerror}") from None


def _keep_owner(path: Path, copy: int) -> None:
    before = path.stat()
    os.fchown(copy, before.st_uid, before.st_gid)
    os.fchmod(copy, 0o600 | before.st_mode & stat.S_IRGRP)


def is_private(path: Path) -> bool:
    """Whether only its owner and its group can read it: Kubernetes makes a Secret readable for a group."""
    return not path.stat().st_mode & stat.S_IROTH
