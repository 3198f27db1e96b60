"""A file of JSON Lines as the source of an import, compressed with gzip or not; a position is the number of a line."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import shutil
import sys
import tempfile
import zlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any, cast

from traksense_ingest.ops.appending.pace import BATCH_BYTES
from traksense_ingest.ops.imports.lines import parse_line
from traksense_ingest.ops.imports.source import EXAMPLES, Invalid, Message, Survey, Unreadable

GZIP = b"\x1f\x8b"
LINES_A_TURN = 1000  # that are read before a signal is noticed


class FileSource:
    """The lines of a file that is read several times. Two files with the same lines are the same source."""

    def __init__(self, name: str, file: IO[bytes]) -> None:
        self.name = name
        self.id = ""
        self._file = file
        self._lines: Iterator[bytes] = iter(())
        self._at = 0  # the number of the last line that was read
        self._taken = 0  # … and of the last one that was taken
        self._following: Message | Invalid | None = None  # read, but not taken: the batch would be too large

    async def survey(self) -> Survey:
        """Read all of it once."""
        content, messages, invalid, examples = hashlib.sha256(), 0, 0, list[Invalid]()
        with _errors_named(self.name):
            self._rewind()
            for line in self._lines:
                self._at += 1
                content.update(line)
                match parse_line(self._at, line):
                    case Message():
                        messages += 1
                    case Invalid() as found:
                        invalid += 1
                        examples += [found] if invalid <= EXAMPLES else []
                if not self._at % LINES_A_TURN:
                    await asyncio.sleep(0)
        self._taken = self._at
        self.id = content.hexdigest()[:16]
        return Survey(messages, invalid, examples, str(self._at) if self._at else "")

    async def take(self, after: str, up_to: str, limit: int) -> Sequence[Message | Invalid]:
        """The next lines behind a number."""
        with _errors_named(self.name):
            if int(after or 0) != self._taken:
                await self._seek(int(after or 0))
            return self._take(int(up_to or 0), limit)

    async def in_order(self, positions: Collection[str]) -> list[str]:
        """By number."""
        return sorted(positions, key=int)

    def place(self, position: str) -> str:
        """`history.jsonl:17`."""
        return f"{self.name}:{position}"

    def _take(self, up_to: int, limit: int) -> list[Message | Invalid]:
        taken: list[Message | Invalid] = []
        size = 0
        while len(taken) < limit and (found := self._next(up_to)):
            size += len(found.payload) if isinstance(found, Message) else 0
            if taken and size > BATCH_BYTES:
                self._following = found
                break
            taken.append(found)
        if taken:
            self._taken = int(taken[-1].position)
        return taken

    def _next(self, up_to: int) -> Message | Invalid | None:
        """The next line that is not blank, up to a number."""
        following, self._following = self._following, None
        while not following and self._at < up_to and (line := next(self._lines, None)) is not None:
            self._at += 1
            following = parse_line(self._at, line)
        return following

    async def _seek(self, number: int) -> None:
        self._rewind()
        while self._at < number:
            wanted = min(LINES_A_TURN, number - self._at)
            if not (read := sum(1 for _ in islice(self._lines, wanted))):
                break
            self._at += read
            await asyncio.sleep(0)
        self._taken = number

    def _rewind(self) -> None:
        self._file.seek(0)
        self._lines = iter(self._file)
        self._taken = self._at = 0
        self._following = None


@contextmanager
def opened_file(path: Path) -> Iterator[FileSource]:
    """A file, or standard input if it is `-`, which is copied to a temporary file because it is read several times.

    Raises Unreadable.
    """
    name = "standard input" if str(path) == "-" else path.name
    with ExitStack() as stack:
        with _errors_named(str(path)):
            file = stack.enter_context(_copied(sys.stdin.buffer) if str(path) == "-" else path.open("rb"))
            if not file.seekable():  # a pipe
                file = stack.enter_context(_copied(file))
            is_gzip = file.read(len(GZIP)) == GZIP
            file.seek(0)
            if is_gzip:
                file = stack.enter_context(cast("Any", gzip.GzipFile(fileobj=file)))
        yield FileSource(name, file)


def _copied(file: IO[bytes]) -> IO[bytes]:
    copy = tempfile.TemporaryFile()  # noqa: SIM115  (the caller closes it)
    shutil.copyfileobj(file, copy)
    copy.seek(0)
    return copy


@contextmanager
def _errors_named(name: str) -> Iterator[None]:
    """What goes wrong while a file is read is one line."""
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        what = getattr(error, "strerror", None) or str(error)
        raise Unreadable(f"{name}: can't be read: {what}") from None
