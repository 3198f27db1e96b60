"""The console's page `/map`: what a mapping makes of a message, of whatever text and wherever from."""

from __future__ import annotations

import asyncio
import html
import json
import re
from collections.abc import Mapping
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.support.console import Answer, Browser, Console, running, text_of
from tests.support.dead_letters import dead_letter
from tests.support.mapping_files import TOPIC, reading, readings
from tests.support.stack import Stack
from tests.support.waiting import eventually

pytestmark = pytest.mark.long  # of `make test-all`

HOSTILE = "<script>alert(1)</script>'\"\x1b[31m\u202e"
CODEC = """\
version: 1
name: codec
tenant: acme
routes:
  - name: up
    topics: "codec/{site}/{device}"
    time: received
    decode: {js: {code: "%s; function decodeUplink(i) { return {data: {t: i.bytes[0]}} }", cpu_ms: 1000}}
    points: [{leaves: "."}]
"""


def shown(answer: Answer) -> str:
    """What a reader sees of the page's result, in one line."""
    assert answer.status == 200, answer.body
    result = answer.body.partition('<section id="result"')[2].partition(">")[2].partition("</section>")[0]
    return text_of(result)


def field(answer: Answer, name: str) -> str:
    """What is in a field of the form."""
    found = re.search(rf'<textarea name="{name}"[^>]*>\n(.*?)</textarea>', answer.body, re.DOTALL)
    found = found or re.search(rf'<input name="{name}" value="([^"]*)"', answer.body)
    assert found, answer.body
    return html.unescape(found[1])


async def sent(browser: Browser, path: str = "/map", **fields: str) -> Answer:
    return await asyncio.to_thread(browser.post, path, **{"do": "try", **fields})


async def seen(browser: Browser, path: str) -> Answer:
    return await asyncio.to_thread(browser.get, path)


def text(mapping: str, **fields: str) -> Mapping[str, str]:
    return {"mapping": "text", "text": mapping, "topic": TOPIC, "payload": reading().decode(), **fields}


async def test_a_message_and_a_mapping_are_rows(browser: Browser) -> None:
    answer = await sent(browser, **text(readings()))
    assert (
        "would be stored readings/reading: 1 row ts_measure tenant site device point value unit time "
        "acme plant1 n7 temp 4.5 2026-01-02T03:04:05Z Routes that match this topic readings/reading takes it"
        in shown(answer)
    )
    assert "1 of 1 test passes" in shown(answer)
    assert (field(answer, "topic"), field(answer, "text")) == (TOPIC, readings())


async def test_errors_have_their_line_and_the_word_is_marked(browser: Browser) -> None:
    answer = await sent(browser, **text(readings().replace("path: ts", "path: ts, format: unixms")))
    assert "1 error" in shown(answer)
    assert "mapping.yaml, line 7, column 30 routes[0].time.format did you mean unix_ms?" in shown(answer)
    assert "time: {path: ts, format: <mark>unixms</mark>}" in answer.body


async def test_a_dead_letter_has_its_reason_and_the_place_in_the_payload(browser: Browser) -> None:
    answer = await sent(browser, **text(readings(), payload='{"ts": "noon", "temp": 1}'))
    assert "dead letter parse_error: readings/reading: ts: " in shown(answer)
    assert '<mark>&#34;ts&#34;: &#34;noon&#34;,</mark> <strong class="bad">◀ here: ts: ' in answer.body
    other = await sent(browser, **text(readings(), topic="elsewhere/a"))
    assert "No route matches this topic." in shown(other)


async def test_a_test_that_fails_has_its_differences(browser: Browser) -> None:
    answer = await sent(browser, **text(readings().replace("v_num: 4.5", "v_num: 5")))
    assert "0 of 1 test passes one mapping.yaml, line 10" in shown(answer)
    assert f"{TOPIC} : taken by readings/reading point temp: v_num expected 5, found 4.5" in shown(answer)


async def test_a_text_names_no_file_of_the_server(browser: Browser) -> None:
    codec = re.sub(r"\{code: .*, cpu_ms", "{file: /etc/passwd, cpu_ms", CODEC)
    payloads = (readings().replace("payload: '", f"payload_file: {name} #'") for name in ("/etc/passwd", "../x"))
    for mapping in (codec, *payloads):
        found = shown(await sent(browser, **text(mapping)))
        assert re.search(r"decode.js.file|tests\[0\].payload_file", found)
        assert "a mapping without a file can't read other files" in found
        assert "root:" not in found


async def test_the_library_is_no_way_to_a_file(browser: Browser) -> None:
    for name in ("../../etc/passwd", "/etc/passwd.yaml", "khomp,/etc/passwd.yaml", "v1"):
        for do in ("try", "copy"):
            assert "the library has no mapping" in (await sent(browser, mapping=f"library:{name}", do=do)).body
        assert "the library has no mapping" in (await seen(browser, f"/map?library={name}")).body
    found = shown(await sent(browser, mapping="library:khomp", variables="x=1,/etc/passwd.yaml"))
    assert "khomp has no variable x" in found
    assert "passwd.yaml can" not in found


async def test_a_codec_in_javascript_ends_at_its_limits(browser: Browser) -> None:
    for code, why in (
        ("const a = 1", "would be stored"),
        ("for (;;) {}", "js: InternalError: interrupted"),
        ("new Array(0xffffffff).indexOf(1)", "js: InternalError: "),
        ("const a = []; for (;;) a.push(new Array(1000).fill(1))", "js: InternalError: out of memory"),
    ):
        answer = await sent(browser, **text(CODEC % code, topic="codec/a/b", payload="07", **{"as": "hex"}))
        assert why in shown(answer), code


async def test_what_takes_too_long_is_ended_and_the_console_answers_meanwhile(browser: Browser) -> None:
    endless = "".join(
        f"\n  - {{name: r{n}, topics: 'c/{{site}}/{{device}}/{n}', time: received, points: [],"
        f" decode: {{js: {{cpu_ms: 1000, code: 'for (;;) {{}}'}}}}}}"
        for n in range(30)
    )
    slow = asyncio.create_task(sent(browser, **text(f"version: 1\nname: x\ntenant: a\nroutes:{endless}")))
    assert (await seen(browser, "/healthz")).body == "ok\n"
    assert not slow.done()
    stopped = "it was stopped: it (needed more than 5 s of processor time|ran for more than 20 s)"
    assert re.search(stopped, shown(await slow))
    assert "would be stored" in shown(await sent(browser, **text(readings())))


async def test_the_library_has_bookmarks_with_an_example(browser: Browser) -> None:
    answer = await seen(browser, "/map?library=chirpstack")
    assert "chirpstack/uplink: 7 rows" in shown(answer)
    assert "6 of 6 tests pass" in shown(answer)
    redirect = await sent(browser, mapping="library:tasmota", do="example")
    assert (redirect.status, redirect.location) == (303, "/map?library=tasmota")
    assert field(await seen(browser, redirect.location), "variables") == "tz=UTC"
    copy = await sent(browser, mapping="library:chirpstack", do="copy")
    assert field(copy, "text").startswith("# ChirpStack v4")
    assert '<option value="text" selected>' in copy.body


async def test_each_example_of_the_library_is_stored(browser: Browser) -> None:
    names = re.findall(r'<option value="library:([^"]+)"', (await seen(browser, "/map")).body)
    assert len(names) > 20
    for name in names:
        assert "would be stored" in shown(await seen(browser, f"/map?library={name}")), name


async def test_a_dead_letter_is_taken_and_changed_no_way(stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "readings.yaml"
    await dead_letter(stack, (TOPIC, reading()), ("readings/a\u202eb", b"\xff\x00\r\n"))
    file.write_text(readings())
    async with running({**stack.environment, "INGEST_MAPPINGS": str(file)}, tmp_path) as console:
        browser = await asyncio.to_thread(console.operator)
        first = await seen(browser, "/map?letter=1")
        assert (field(first, "topic"), field(first, "payload")) == (TOPIC, reading().decode())
        assert "readings/reading: 1 row" in shown(first)
        second = await seen(browser, "/map?letter=2")
        assert field(second, "payload") == "ff000d0a"
        assert "\u202e" not in shown(second)
        assert "there is no dead letter 99" in (await seen(browser, "/map?letter=99")).body
        for other in ("x", "-1", "9" * 40, "1%3B"):
            assert "not the id of a dead letter" in (await seen(browser, f"/map?letter={other}")).body
        await stack.refuse_connections()
        assert (await seen(browser, "/map?letter=1")).status == 503
        await stack.allow_connections()
        await eventually(lambda: browser.get("/map?letter=1").status == 200, "it recovers")
    assert await stack.fetchval("SELECT count(*) FROM ingest_errors WHERE replayed_at IS NULL") == 2


async def test_what_is_heard_can_be_tried_and_drafted_from(stack: Stack, console: Console, browser: Browser) -> None:
    listening = asyncio.create_task(sent(browser, topic="boiler/#", do="listen", text="kept"))
    await console.says("operator listens to 'boiler/#'")
    await stack.publish(*((f"boiler/dev-{number:03}", b'{"temp": %d.5}' % number) for number in range(25)))
    answer = await listening
    assert "20 messages on boiler/#" in shown(answer)
    assert field(answer, "text") == "kept"
    lines = [html.unescape(line) for line in re.findall(r'name="heard" value="([^"]*)"', answer.body)]
    assert [json.loads(line)["topic"] for line in lines] == [f"boiler/dev-{number:03}" for number in range(20)]
    picked = await sent(browser, message=lines[3])
    assert (field(picked, "topic"), field(picked, "payload")) == ("boiler/dev-003", '{"temp": 3.5}')
    drafted = await sent(browser, do="draft", heard=lines[3])
    assert "drafted from 1 message: 1 route and 1 test, which passes" in shown(drafted)
    assert "1 of 1 test passes" in shown(drafted)
    assert 'topics: "boiler/{device}"' in field(drafted, "text")


async def test_a_session_that_listens_once_more_ends_the_first(
    stack: Stack, console: Console, browser: Browser
) -> None:
    first = asyncio.create_task(sent(browser, topic="first/#", do="listen"))
    await console.says("operator listens to 'first/#'")
    second = asyncio.create_task(sent(browser, topic="second/#", do="listen"))
    assert "0 messages on first/#" in shown(await first)
    await console.says("operator listens to 'second/#'")
    assert not second.done()
    await stack.publish(*[("second/a", b"1")] * 20)
    assert "20 messages on second/#" in shown(await second)


async def test_a_browser_that_leaves_ends_its_listening(console: Console, browser: Browser) -> None:
    body = urlencode({"token": browser.token, "do": "listen", "topic": "left/#"})
    with closing(HTTPConnection("127.0.0.1", console.port)) as connection:
        cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
        form = {"content-type": "application/x-www-form-urlencoded", "sec-fetch-site": "same-origin", "cookie": cookie}
        connection.request("POST", "/map", body, form)
        await console.says("operator listens to 'left/#'")
    await console.says("a browser that listened has disconnected")


async def test_what_is_no_filter_or_would_take_messages_from_receivers_is_refused(browser: Browser) -> None:
    for topic in ("", "$share/g/plant/#", "a/#/b", "a\0b"):
        assert 'id="wrong-topic"' in (await sent(browser, topic=topic, do="listen")).body


async def test_a_broker_that_is_away_is_said_and_the_form_stays(stack: Stack, tmp_path: Path) -> None:
    async with running({**stack.environment, "MQTT_URL": "mqtt://127.0.0.1:1"}, tmp_path) as console:
        browser = await asyncio.to_thread(console.operator)
        answer = await sent(browser, topic="plant/#", do="listen", text="kept")
        assert "MQTT_URL=mqtt://127.0.0.1:1: broker: " in shown(answer)
        assert field(answer, "text") == "kept"


async def test_the_text_is_downloaded_and_not_written(browser: Browser, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    answer = await sent(browser, "/map/download", text=readings().replace("\n", "\r\n"))
    assert answer.headers["content-disposition"] == 'attachment; filename="readings.yaml"'
    assert answer.body == readings()
    hostile = await sent(browser, "/map/download", text='name: x"; filename=../../y\r\nSet-Cookie: a=b')
    assert hostile.headers["content-disposition"] == 'attachment; filename="x.yaml"'
    assert sorted(tmp_path.rglob("*")) == before


async def test_no_field_becomes_markup(browser: Browser) -> None:
    for name in ("topic", "payload", "received", "mapping", "variables", "text", "do", "message", "as"):
        for do in ("try", "draft", "copy", "example"):
            answer = await sent(browser, **{**text(readings()), "do": do, name: HOSTILE})
            assert answer.status == 200
            assert "<script>alert" not in answer.body
            assert not {"\x1b", "\u202e"} & {*shown(answer)}, name


async def test_what_a_mapping_makes_of_hostile_text_is_text(browser: Browser) -> None:
    payload = json.dumps({"ts": "2026-01-02T03:04:05Z", "temp": HOSTILE})
    answer = await sent(browser, **text(readings(), payload=payload, topic=f"readings/acme/{HOSTILE[:25]}a/n7"))
    assert "<script>alert" not in answer.body
    assert "\u202e" not in answer.body
    wrong = await sent(browser, **text(readings(HOSTILE), payload=f'{{"ts": "{HOSTILE[:8]}"}}'))
    assert "<script>" not in wrong.body.partition("</head>")[2]


async def test_a_form_that_is_too_large_is_refused(browser: Browser) -> None:
    assert (await sent(browser, text="ü" * 1_000_000)).status == 200, "2 MB, of which a form makes 6 MB"
    for large in ("x" * 3_000_000, "ü" * 1_500_000, "x" * 8_000_000):
        assert (await sent(browser, text=large)).status == 400
    many = {f"field-{number}": "x" * 1_900_000 for number in range(10)}
    assert (await sent(browser, **many)).status == 413


async def test_it_needs_the_token_and_the_same_site(browser: Browser) -> None:
    fields = {"do": "try", **text(readings())}
    for path in ("/map", "/map/download"):
        assert browser.post(path, token="x", **fields).status == 403
        assert browser.sending({"sec-fetch-site": "cross-site"}).post(path, **fields).status == 403
    stranger = Browser(browser.port)
    assert (await asyncio.to_thread(stranger.get, "/map")).status == 303
