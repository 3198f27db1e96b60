"""Threads that nobody waits for.

A name server that is silent holds up the thread that asks it for ten seconds and more, and nothing can call it back.
asyncio, and then the interpreter, would wait for it at the end, long after everything is said.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


class Unwaited(ThreadPoolExecutor):
    """A thread for each call, which ends with the program. asyncio takes no executor of another class."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """As of any executor."""
        future: Future[Any] = Future()
        threading.Thread(target=_call, args=(future, function, args, kwargs), daemon=True).start()
        return future


def _call(future: Future[Any], function: Callable[..., Any], args: Any, kwargs: Any) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(function(*args, **kwargs))
    except BaseException as error:
        future.set_exception(error)
