"""The console's pages of devices, with devices of every status and names that are markup."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.console import Browser, running
from tests.support.stack import Stack

pytestmark = pytest.mark.long  # of `make test-all`

HOSTILE = "<script>alert(1)</script>/\"'&\u202e\x1b[31m?#%"
SHOWN = "<script>alert(1)</script>/\"'&\\u202e\\x1b[31m?#%"

DEVICES = """
INSERT INTO device (tenant_id, device_id, site_id, first_seen, last_seen, online_since, interval_s, skew_s)
SELECT tenant, device, 'plant', now() - interval '9 days', now() - ago, now() - interval '8 days', 60, skew
FROM (VALUES
    ('acme', 'chiller', interval '10 s', 0.2), ('acme', 'freezer', interval '4 min', 0),
    ('acme', 'valve', interval '2 h', NULL), ('b', 'pump', interval '10 s', -90), ('b', 'Pump-2', interval '10 s', 7200)
) AS one (tenant, device, ago, skew)
"""
ONE = """
INSERT INTO device (tenant_id, device_id, site_id, meta, first_seen, last_seen, interval_s)
VALUES ($1, $1, $1, jsonb_build_object('fw', $1::text), now() - interval '9 days', now(), 60)
"""
ROWS = """
WITH points AS (
    INSERT INTO device_point
    SELECT $1, $1, point, $1, now() FROM unnest(ARRAY[$1, 'power', 'running', 'state']) AS point
)
INSERT INTO ts_measure
SELECT $1, $1, 'power', now() - minutes * interval '1 min', 20 + minutes % 7, NULL::boolean, NULL, 'kW', NULL::jsonb
FROM generate_series(0, 600, 10) AS minutes
UNION ALL SELECT $1, $1, 'running', now(), NULL, true, NULL, NULL, NULL
UNION ALL SELECT $1, $1, 'state', now(), NULL, NULL, $1, $1, NULL
UNION ALL SELECT $1, $1, $1, now(), NULL, NULL, NULL, NULL, NULL
"""
COMMANDS = """
WITH acks AS (
    INSERT INTO cmd_ack (tenant_id, device_id, cmd_id, ok, err, payload, created_at)
    VALUES ($1, $1, 'done', true, NULL, '{}', now() - interval '9 min'), ($1, $1, 'failed', false, $1, '{}', now())
)
INSERT INTO command (tenant_id, device_id, cmd_id, sent_at, cmd, payload)
VALUES ($1, $1, 'done', now() - interval '10 min', 'start', '{}'), ($1, $1, 'failed', now(), $1, '{}'),
    ($1, $1, 'forgotten', now() - interval '1 h', 'stop', '{}'), ($1, $1, 'new', now(), 'set', '{}')
"""
EVENTS = """
INSERT INTO device_event (tenant_id, device_id, event_id, event_type, ts, data)
VALUES ($1, $1, 'e', $1, now(), jsonb_build_object('text', $1::text)), ($1, $1, 's', 'state', now(), '{"online": true}')
"""
LETTERS = """
INSERT INTO ingest_errors (tenant_id, topic, payload, reason, error_class, stream, entry_id, deliveries)
SELECT $1, topic, '{}', 'parse_error: ' || $1, 'parse_error', 'ingest:{0}', topic, 1
FROM unnest(ARRAY['traksense/t/s/' || $1 || '/telem', 'traksense/t/s/another/telem']) AS topic
"""


@pytest.fixture
async def browser(stack: Stack, tmp_path: Path) -> AsyncIterator[Browser]:
    await stack.execute(DEVICES)
    async with running(stack.environment, tmp_path) as console:
        yield console.operator()


async def hostile(stack: Stack) -> None:
    for statement in (ONE, ROWS, COMMANDS, EVENTS, LETTERS):
        await stack.fetch(statement, HOSTILE)


async def names(browser: Browser, **query: object) -> list[str]:
    """The devices of a page, in order, by their links."""
    page = browser.get("/devices", **query)
    assert page.status == 200
    return [parse_qs(urlsplit(link).query)["device"][0] for link in page.links if "/one?" in link]


async def test_what_needs_somebody_comes_first(browser: Browser) -> None:
    assert await names(browser) == ["valve", "freezer", "Pump-2", "pump", "chiller"], "then those with a wrong clock"
    assert await names(browser, skewed=1) == ["Pump-2", "pump"], "the furthest off first"
    assert await names(browser, status="silent") == ["valve"]
    assert await names(browser, tenant="b") == ["Pump-2", "pump"]
    assert await names(browser, name="PUMP-") == ["Pump-2"]
    assert await names(browser, name="%") == []
    page = browser.get("/devices", tenant="acme", status="late")
    assert "3 in all 1 silent 0 offline 1 late 1 online 0 with a wrong clock" in page.text, "of the tenant"
    assert "/devices?status=silent&tenant=acme" in page.links


async def test_pages_follow_each_other(stack: Stack, browser: Browser) -> None:
    await stack.execute(
        """INSERT INTO device (tenant_id, device_id, site_id, first_seen, last_seen, interval_s, skew_s)
        SELECT 't' || n % 3, 'a/b&c=' || n, 's', now(), now() - interval '9 h', 60, n
        FROM generate_series(1, 245) AS n"""
    )
    for query in ({}, {"skewed": 1}):
        found, page = [], browser.get("/devices", **query)
        while True:
            links = page.links
            found += [link for link in links if "/one?" in link]
            following = [link for link in links if "position=" in link]
            if not following:
                break
            page = browser.get(following[0])
        assert len(found) == len(set(found)) == (250 if not query else 186 + 2)


@pytest.mark.parametrize(
    ("query", "line"),
    [
        ({"status": "<b>"}, "Status: '<b>' is not one of online, late, silent, offline."),
        ({"tenant": "a\0"}, "Tenant: a name can't have a NUL character in it."),
        ({"name": "\0"}, "Name: a name can't have a NUL character in it."),
        ({"position": "nan", "after": "x", "after_tenant": "y"}, "The address of this page is not valid."),
        ({"after": "x"}, "The address of this page is not valid."),
    ],
)
async def test_a_wrong_filter_is_one_line(browser: Browser, query: dict[str, object], line: str) -> None:
    page = browser.get("/devices", **query)
    assert page.status == 400
    assert line in page.text
    assert "valve" in page.body, "and the devices are there"


async def test_all_of_one_device_and_nothing_of_it_is_markup(stack: Stack, browser: Browser) -> None:
    await hostile(stack)
    listed = browser.get("/devices", name="<SCRIPT>")
    (link,) = [link for link in listed.links if "/one?" in link]
    page = browser.get(link)
    assert page.status == 200
    text = page.text
    assert f"{SHOWN} online" in text
    assert "power 20 kW" in text
    assert "running true" in text
    assert f"state {SHOWN} {SHOWN}" in text, "a point that is a text, and its unit"
    for state in ("done", "overdue", "no ACK yet", "failed"):
        assert f">{state}</span>" in page.body
    assert text.count("parse_error") == 1, "of the other device it has none"
    assert page.body.count("<svg") == 2, "charts of numbers and of booleans"
    for answer in (listed, page):
        assert answer.scripts == ["/static/console.js"]
        assert "\u202e" not in answer.body
        assert "\x1b" not in answer.body
    dead = next(link for link in page.links if link.startswith("/dead?"))
    assert parse_qs(urlsplit(dead).query) == {"tenant": [HOSTILE], "device": [HOSTILE]}
    assert browser.get(dead).body.count('<tr id="letter-') == 1, "the same one"


async def test_the_points_of_a_device_have_pages(stack: Stack, browser: Browser) -> None:
    await stack.execute(
        """INSERT INTO device_point
        SELECT 'acme', 'chiller', lpad(n::text, 3, '0'), NULL, now() FROM generate_series(0, 219) AS n"""
    )
    await stack.execute(
        """INSERT INTO ts_measure (tenant_id, device_id, point_id, ts, v_num)
        SELECT 'acme', 'chiller', lpad(n::text, 3, '0'), now(), n FROM generate_series(0, 219) AS n"""
    )
    page = browser.get("/devices/one", tenant="acme", device="chiller")
    assert page.body.count('<td class="name">') == 200
    assert page.body.count("<svg") == 50
    more = next(link for link in page.links if "points_after=" in link)
    page = browser.get(more)
    assert page.body.count('<td class="name">') == 20
    assert "219" in page.text


@pytest.mark.parametrize("device", ["nobody", "a\0", ""])
async def test_a_device_that_does_not_exist_is_not_found(browser: Browser, device: str) -> None:
    assert browser.get("/devices/one", tenant="acme", device=device).status == 404


async def test_what_a_user_may_not_read_is_named_and_the_rest_shown(stack: Stack, tmp_path: Path) -> None:
    await hostile(stack)
    await stack.execute("DROP VIEW tenant.command")
    async with running(stack.environment, tmp_path) as console:
        page = console.operator().get("/devices/one", tenant=HOSTILE, device=HOSTILE)
        assert page.status == 200
        assert 'Not shown: relation "tenant.command" does not exist' in page.text
        assert "parse_error" in page.body


async def test_an_outage_is_a_page_that_recovers(stack: Stack, browser: Browser) -> None:
    await stack.refuse_connections()
    page = browser.get("/devices")
    assert page.status == 503
    assert "DATABASE_URL=" in page.body
    assert 'data-refresh="5"' in page.body
    await stack.allow_connections()
    assert browser.get("/devices").status == 200
