"""What a process of the playground may use, and what of the console's it can reach: as little as Linux lets a process
without privileges decide about itself.

A codec in JavaScript has no files, no network, no modules and no timers: QuickJS has none of them built in. This is for
the case that one finds an error in the engine, and for what the engine does not limit.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

# Names of variables that the interpreter and the C library need. All others stay in the console: some are passwords.
_NEEDED = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TZDIR", "LD_LIBRARY_PATH", "TMPDIR")
_PYTHON = "PYTHON"

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_CAPABILITIES_V3 = 0x20080522

log = logging.getLogger(__name__)


class Limits(NamedTuple):
    """What a process may use."""

    cpu_s: int = 5
    longest_s: float = 20.0  # of wall-clock time, while other processes use the processor too
    memory: int = 512 * 1024 * 1024  # bytes of address space, of which Python with all modules has 90 MB
    files: int = 64  # open at once: the mappings are read from some


def confine(limits: Limits, answer: int) -> None:
    """This process, before it does anything for a user: it can't undo it. It keeps the file descriptor `answer`."""
    with contextlib.suppress(OSError):  # where the machine or the container has no memory left, this process ends first
        Path("/proc/self/oom_score_adj").write_text("1000")
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):  # the console's log
        os.dup2(nothing, stream)
    for descriptor in map(int, os.listdir("/dev/fd")):
        if descriptor > 2 and descriptor != answer:
            with contextlib.suppress(OSError):  # of the listing itself
                os.close(descriptor)
    for kind, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),  # neither processes nor threads; it does not hold for root
        (resource.RLIMIT_NOFILE, limits.files),
        (resource.RLIMIT_AS, limits.memory),
    ):
        resource.setrlimit(kind, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_s, limits.cpu_s + 1))
    if sys.platform == "linux":
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # the fork server ends with the console, also with one that is killed
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)
        _drop_capabilities()
    os.setsid()  # Ctrl-C is for the console


def hide_memory() -> None:
    """No other process of the same user may read this one's memory or environment, in which passwords are; it leaves
    no core dump either. Processes with CAP_SYS_PTRACE, as root's are, still may."""
    if sys.platform == "linux":
        _prctl(_PR_SET_DUMPABLE, 0)


@contextmanager
def clean_environment() -> Iterator[None]:
    """For processes that are started in the block: without variables that may be passwords."""
    kept = dict(os.environ)
    for name in kept:
        if name not in _NEEDED and not name.startswith(_PYTHON):
            del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(kept)


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


def _drop_capabilities() -> None:
    """All of them, where the console runs as root. One without any does not try it: the filter of system calls in the
    unit of systemd would end it."""
    status = Path("/proc/self/status").read_text()
    if not int(status.partition("CapPrm:")[2].split(maxsplit=1)[0], 16):
        return
    header = _Header(_CAPABILITIES_V3, 0)
    effective_permitted_inheritable = (ctypes.c_uint32 * 6)()
    if ctypes.CDLL(None, use_errno=True).capset(ctypes.byref(header), effective_permitted_inheritable):
        log.warning("the playground can't drop its capabilities: %s", os.strerror(ctypes.get_errno()))


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, ctypes.c_ulong(value), 0, 0, 0):
        log.warning("prctl(%d) is refused: %s", option, os.strerror(ctypes.get_errno()))
