"""No process outlives the one that started it, even when that one is killed with -9."""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

_PR_SET_PDEATHSIG = 1
# Loaded here, in the parent: between fork and exec as little as possible should happen.
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def die_with_parent(death: signal.Signals) -> Callable[[], None]:
    """What a child runs just before exec so that the kernel sends it `death` when its parent ends.

    Outside Linux it does nothing. The order given to the kernel survives exec, but no later change of user.
    """
    parent = os.getpid()

    def before_exec() -> None:
        if _LIBC is None:
            return
        _LIBC.prctl(_PR_SET_PDEATHSIG, int(death))
        if os.getppid() != parent:  # it died before the order was given
            os._exit(1)

    return before_exec


def processes_in(directory: Path) -> list[int]:
    """Processes whose working directory is this one; always none where there is no /proc."""
    return [int(entry.name) for entry in Path("/proc").glob("[0-9]*") if _works_in(entry, directory)]


def wait_until_empty(directory: Path, seconds: float) -> bool:
    """Wait until no process works in a directory; False when some still do after `seconds`."""
    deadline = time.monotonic() + seconds
    while processes_in(directory):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _works_in(entry: Path, directory: Path) -> bool:
    try:
        return (entry / "cwd").samefile(directory)
    except OSError:  # it ended meanwhile, or belongs to someone else
        return False
