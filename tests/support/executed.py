"""What a piece of Python executes and allocates: the same figures in each run, on whatever machine, however busy."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Callable
from types import FrameType
from typing import Any, NamedTuple


class Executed(NamedTuple):
    """Of one run."""

    instructions: int  # of bytecode, in our functions and in those of libraries
    calls: int  # of functions written in C
    peak_bytes: int  # most that was allocated at one moment beyond what was allocated before


def executed(work: Callable[[], object]) -> Executed:
    """Run it some times: first for what is done only once, then to count, then to measure memory."""
    work()
    work()
    gc.collect()
    gc.disable()
    try:
        return Executed(*_counted(work), _peak(work))
    finally:
        gc.enable()


def _counted(work: Callable[[], object]) -> tuple[int, int]:
    instructions = calls = 0

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal instructions
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        instructions += event == "opcode"
        return trace

    def profile(_frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal calls
        calls += event == "c_call"

    before = sys.gettrace(), sys.getprofile()
    sys.settrace(trace)
    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(before[1])
        sys.settrace(before[0])
    return instructions, calls


def _peak(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        tracemalloc.reset_peak()
        there, _ = tracemalloc.get_traced_memory()
        result = work()
        _, peak = tracemalloc.get_traced_memory()
        del result
        return peak - there
    finally:
        tracemalloc.stop()
