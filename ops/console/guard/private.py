"""Files that only their owner may read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from traksense_ingest.shared.errors import ConfigurationError


def write_private(path: Path, text: str, what: str) -> None:
    """A file that only its owner can read, and that is never half written. One that is replaced keeps its owner, who
    may be the user of a container or a service. Raises ConfigurationError, which begins with `what`: the option that
    named the path."""
    part = path.with_name(f"{path.name}.part")
    try:
        owner = path.stat() if path.exists() else None
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o600)  # the file may be left from a run that was killed
            if owner and owner.st_uid != os.geteuid():
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            file.write(text)
        os.replace(part, path)
    except OSError as error:
        raise ConfigurationError(f"{what} {path}: {error.strerror}") from None


def is_private(path: Path) -> bool:
    """Whether only its owner and its group can read it: Kubernetes makes a Secret readable for a group."""
    return not path.stat().st_mode & stat.S_IROTH
