"""Codecs that want to harm the console: each ends at a limit, in a process of its own, and its reason is text."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from traksense_ingest.ops.mapping.playground.answer import Chosen, Kind, for_trials, tried
from traksense_ingest.ops.mapping.playground.confinement import Limits
from traksense_ingest.ops.mapping.playground.process import LimitedProcesses, Stopped
from traksense_ingest.shared import config
from traksense_ingest.shared.mapping.expected import Message

pytestmark = pytest.mark.long

MESSAGE = Message("codec/a/b", b"\7", datetime(2026, 1, 2, tzinfo=UTC))
HUGE = "'x'.repeat(2 ** 20)"  # doubled until the engine has no memory left


def mapping(code: str) -> str:
    decode = json.dumps({"js": {"code": code, "cpu_ms": 300}})
    return (
        f"version: 1\nname: codec\ntenant: acme\nroutes:\n  - name: up\n    topics: 'codec/{{site}}/{{device}}'\n"
        f"    time: received\n    decode: {decode}\n    points: [{{leaves: '.'}}]\n"
    )


async def trial(processes: LimitedProcesses, code: str) -> dict[str, Any]:
    """What the page shows of it, or why it was stopped."""
    chosen = Chosen(Kind.TEXT, text=mapping(code))
    try:
        found: dict[str, Any] = await processes.run(tried, chosen, MESSAGE, for_trials(config.load()))
    except Stopped as stopped:
        return {"outcome": str(stopped), "reason": ""}
    return found.get("trial") or {"outcome": "fault", "reason": found["faults"][0]["what"]}


@pytest.fixture
async def processes() -> AsyncIterator[LimitedProcesses]:
    made = LimitedProcesses(Limits(cpu_s=3))
    async with made.running():
        yield made


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("for (;;) {}", "interrupted"),
        ("for (;;) try { for (;;); } catch (e) {}", "interrupted"),
        ("const a = []; for (;;) a.push(new Array(1000).fill(1))", "out of memory"),
        (f"let a = {HUGE}; for (;;) a += a", ""),
        ("const a = []; for (;;) a.push(new ArrayBuffer(2 ** 20))", "out of memory"),
        ("const f = () => f() + 1; f()", "Maximum call stack"),
        ("let a = []; for (let i = 0; i < 1e6; i++) a = [a]; return {data: a}", ""),
        ("return {data: {a: 'x'.repeat(100 * 2 ** 20)}}", ""),
        ("return {data: new Array(1e6).fill('x'.repeat(100))}", ""),
        ("/^(a+)+$/.test('a'.repeat(40) + 'b'); for (;;) {}", "interrupted"),
        ("return {data: {toJSON() { for (;;) {} }}}", "interrupted"),
        ("return new Proxy({}, {get() { for (;;) {} }})", "interrupted"),
        ("throw {toString() { for (;;) {} }}", ""),
        ("throw {get message() { for (;;) {} }, get stack() { for (;;) {} }}", ""),
        (f"let a = {HUGE}; throw new Error(a + a + a + a)", ""),
        ("throw new Error('<script>alert(1)</script>\\x1b[2J\\u202e\\0\\ud800')", ""),
        ("return {errors: ['<script>\\x1b[2J\\u202e', {}, null, 1n]}", ""),
        ("Error.prototype.toString = () => { for (;;) {} }; throw new Error('x')", ""),
        ("import('os'); return {data: {a: 1}}", ""),
        ("Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)", "cannot block"),
        ("Object.prototype.toJSON = () => { for (;;) {} }; return {data: {a: {}}}", "interrupted"),
    ],
)
async def test_it_ends_with_text(processes: LimitedProcesses, body: str, why: str) -> None:
    found = await trial(processes, f"function decodeUplink(i) {{ {body} }}")
    assert why in f"{found['outcome']} {found['reason']}", found
    shown = json.dumps(found)
    assert len(shown) < 100_000
    assert not {"\x1b", "\u202e", "\0"} & {*str(found["reason"])}, found
    assert "a bug" not in shown


@pytest.mark.parametrize(
    "code", ["for (;;) {}", "const a = []; for (;;) a.push({})", "throw {toString() { for (;;) {} }}"]
)
async def test_it_ends_already_where_it_is_compiled(processes: LimitedProcesses, code: str) -> None:
    assert (await trial(processes, code))["outcome"].startswith(("fault", "it was stopped"))


async def test_it_finds_nothing_outside_of_its_engine(processes: LimitedProcesses) -> None:
    names = (
        "require process std os fetch XMLHttpRequest WebAssembly Worker Deno Bun module print console setTimeout load"
    )
    found = await trial(
        processes,
        f"function decodeUplink(i) {{ return {{data: {{found: '{names}'.split(' ')"
        ".filter((name) => typeof globalThis[name] !== 'undefined').join(' ') || 'nothing'}} }",
    )
    assert [row["value"] for row in found["rows"]] == ['"nothing"'], found
