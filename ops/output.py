"""What a command shows: on a terminal, as text in a pipe, or as JSON; once, or again and again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Generic, TypeVar

from rich.console import Console, RenderableType
from rich.live import Live

T = TypeVar("T")


class Output(Generic[T]):
    """Prints values of one kind on stdout."""

    def __init__(
        self, json: Callable[[T], str], text: Callable[[T], str], screen: Callable[[T, int, int], RenderableType]
    ) -> None:
        """`json` makes one line, `text` lines for a pipe, and `screen` something for columns and rows of a terminal."""
        self._json = json
        self._text = text
        self._screen = screen

    def once(self, value: T, *, as_json: bool = False) -> None:
        """Print it; as wide as the terminal, if there is one."""
        console = Console(highlight=False)
        if as_json:
            self._print_json(value)
        elif console.is_terminal:
            console.print(self._screen(value, *console.size))
        else:
            print(self._text(value), flush=True)

    @contextmanager
    def again_and_again(self, *, as_json: bool) -> Iterator[Callable[[T], None]]:
        """Shows each value in place of the one before on a terminal; in a pipe with the time above it."""
        console = Console(highlight=False)
        if as_json:
            yield self._print_json
        elif console.is_terminal:
            with Live(console=console, auto_refresh=False) as live:
                yield lambda value: live.update(self._screen(value, *console.size), refresh=True)
        else:
            yield self._print_dated

    def _print_json(self, value: T) -> None:
        print(self._json(value), flush=True)

    def _print_dated(self, value: T) -> None:
        print(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC\n{self._text(value)}\n", flush=True)
