"""The pages in a real browser: signing in, live corrections, silence, hostile texts, every state, accessibility."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Tab
from tests.support.cloud_client import Agent
from tests.support.cloud_fixture import LiveCloud

AXE = Path(__file__).parent / "vendor" / "axe.min.js"
STATUS = {"state": "live", "log_bytes": 9, "backlog_bytes": 0, "last_event_at": None, "dead_letters": 0, "version": "1"}
FIRST_VIEW_BYTES = 200_000
TEXTS = [
    ("Hey folks, the meeting is moved to 3pm, thanks!", "Dear colleagues, the meeting has been moved to 15:00."),
    ("We will definitely ship this on Friday and it will be great.", "We plan to ship this on Friday."),
    ("The function returns None if the user does not exists.", "The function returns None if the user does not exist."),
    (
        "Please find attached the report. It has 12 pages. I think there might be errors in the tables.",
        "Please find attached the report (12 pages). The tables have not been checked yet.",
    ),
]
HOSTILE = [
    "<script>window.hacked=1;alert(1)</script>",
    '<img src=x onerror="window.hacked=1">',
    "</p></article></li></ol><svg onload=window.hacked=1>",
    "\"'><iframe srcdoc='<script>parent.hacked=1</script>'>",
    "{{constructor.constructor('window.hacked=1')()}}{% raw %}",
    "javascript:window.hacked=1//<!--<style>*{display:none}</style>-->",
    "\u202eevil\u2028\x1b[31m\r\n\x7f]]>&lt;script&gt;&#0;",
    "<meta http-equiv=refresh content='0;url=https://evil.example'>",
]


def correction(number: int, draft: str, final: str, *, days_ago: float = 0.0, **data: object) -> bytes:
    """A record as the product writes it."""
    at = datetime.now(UTC) - timedelta(days=days_ago)
    body = {
        "draft_text": draft,
        "final_text": final,
        "category": ("TONE", "ACCURACY", "GRAMMAR", "STRUCTURE")[number % 4],
        "severity": ("minor", "moderate", "major", "as-is")[number % 4],
        "summary": "more formal",
    }
    row = {"ts": at.isoformat(), "session": number // 7 + 1, "type": "CORRECTION", "event_id": f"event-{number:06}"}
    return json.dumps({**row, "data": body | data}).encode() + b"\n"


def history(count: int) -> list[bytes]:
    """Corrections over the last weeks."""
    return [correction(n, *TEXTS[n % 4], days_ago=28 - 28 * n / count) for n in range(count)]


def brain_page(tab: Tab, agent: Agent, key: str) -> None:
    """Open the brain's page."""
    tab.sign_in(key, f"/brain?id={agent.brain}")


def accessible(tab: Tab) -> list[str]:
    """Serious violations that axe finds in the page. Its script comes through the debugger, past the page's policy."""
    tab.page.evaluate(AXE.read_text(encoding="utf-8"))
    found = tab.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{item['id']}: {item['nodes'][0]['html'][:200]}"
        for item in found["violations"]
        if item["impact"] in ("serious", "critical")
    ]


def test_a_correction_arrives_without_a_reload(tab: Tab, agent: Agent, cloud: LiveCloud) -> None:
    """As it is stored, newest first, as a diff; the numbers and the proof follow."""
    log = history(5)
    agent.send(log, status=STATUS)
    brain_page(tab, agent, cloud.key)
    expect(tab.page.locator(".proven")).to_contain_text("Proven identical to size 5")
    tab.page.evaluate("window.sameDocument = true")
    log.append(correction(99, "It is quite good", "It is good"))
    agent.send(log, 5, status=STATUS)
    tab.page.wait_for_selector("#event-6")
    first = tab.page.locator("#feed > li").first
    expect(first.locator(".diff")).to_have_text("It is quite good")
    expect(first.locator("del")).to_have_text("quite ")
    expect(tab.page.locator(".proven")).to_contain_text("size 6")
    assert tab.page.evaluate("window.sameDocument")


def test_a_feed_goes_on_after_the_cloud_was_away(tab: Tab, agent: Agent, cloud: LiveCloud, artifacts: Path) -> None:
    """The page says that the connection is lost, and shows what it missed when it is back."""
    log = history(2)
    agent.send(log, status=STATUS)
    brain_page(tab, agent, cloud.key)
    cloud.kill()
    tab.page.wait_for_selector("[data-link=lost]")
    assert tab.page.evaluate("getComputedStyle(document.querySelector('main')).filter") == "grayscale(1)"
    tab.page.screenshot(path=artifacts / "state-cloud-away.png")
    cloud.start()
    log += [correction(50, "a b", "a c"), correction(51, "a b", "a d")]
    agent.send(log, 2, status=STATUS)
    tab.page.wait_for_selector("#event-4")
    assert [each.get_attribute("id") for each in tab.page.locator("#feed > li").all()] == [
        "event-4", "event-3", "event-2", "event-1",
    ]  # fmt: skip
    tab.page.wait_for_selector("[data-link=live]")
    tab.complaints.clear()  # the browser's own, of connections that were refused


def test_f53_a_silent_brain_turns_red_and_comes_back(tab: Tab, agent: Agent, cloud: LiveCloud) -> None:
    """After the set time, with words and command; live again after its next word."""
    agent.send(history(1), status=STATUS)
    tab.sign_in(cloud.key)
    row = tab.page.locator("table.fleet tbody tr").first
    expect(row.locator(".state")).to_have_text("live")
    expect(row.locator(".state")).to_have_text("silent")
    expect(row).to_have_class("alert")
    expect(row.locator(".words")).to_contain_text("No word from it")
    expect(row.locator(".mend code")).to_have_text("gradata doctor")
    expect(tab.page.locator(".verdict")).to_contain_text("1 of 1 brain needs you")
    names = {"brain_id": agent.brain, "device_id": "device", "log_id": agent.log_id, "cloud_id": None}
    body = {**names, "size": 1, "root": hashlib.sha256(b"").hexdigest(), "status": STATUS}
    agent.ask("POST", "/heartbeat", json.dumps(body), kind="application/json")
    expect(row.locator(".state")).to_have_text("live")


def test_f59_hostile_texts_are_inert(tab: Tab, cloud: LiveCloud) -> None:
    """Scripts, markup and control characters in every field, in the page and in what arrives live."""
    agent = Agent(cloud, brain="<img src=x onerror=window.hacked=1>")
    log = [
        correction(n, text, f"final {text}", category=text, severity=text[:100], summary=text)
        for n, text in enumerate(HOSTILE)
    ]
    agent.send(log[:4], status=STATUS | {"version": HOSTILE[0], "state": "paused", "trouble": HOSTILE[1]})
    tab.sign_in(cloud.key)
    tab.page.get_by_role("link", name=agent.brain).click()
    tab.page.wait_for_selector("[data-link=live]")
    agent.send(log, 4)
    tab.page.wait_for_selector("#event-8")
    tab.page.wait_for_selector("#bars-category .bar-row")
    assert tab.page.evaluate("window.hacked") is None
    assert tab.page.locator("#feed script, #feed img, #feed iframe, #feed svg, #feed meta, #feed style").count() == 0
    expect(tab.page.locator("#event-1 .diff")).to_contain_text("<script>window.hacked=1;alert(1)</script>")


def test_the_first_view_is_small_and_all_from_here(tab: Tab, cloud: LiveCloud) -> None:
    """Everything that the fleet's page loads, and a brain's with a full history: at most 200 kB each."""
    agent = Agent(cloud, brain="full")
    agent.send(history(400), status=STATUS)
    tab.sign_in(cloud.key)
    for path, shown in (("/", "table.fleet tbody tr"), (f"/brain?id={agent.brain}", "#chart-days canvas")):
        tab.answers.clear()
        tab.page.goto(tab.origin + path)
        tab.page.wait_for_selector(shown)
        sizes = {answer.url: len(answer.body()) for answer in tab.answers if "/feed" not in answer.url}
        assert 10_000 < sum(sizes.values()) <= FIRST_VIEW_BYTES, sizes


def test_a_long_history_is_shown_in_part(tab: Tab, cloud: LiveCloud, artifacts: Path) -> None:
    """100,000 events: the newest are shown, and the others are counted."""
    agent = Agent(cloud, brain="long")
    log = [correction(n, "a b", "a c", days_ago=20 - n / 5000) for n in range(20_000)]
    notes = [json.dumps({"event_id": f"n{n}", "type": "NOTE"}).encode() + b"\n" for n in range(80_000)]
    whole = notes + log
    data, sent = b"".join(whole), 0
    assert len(data) < 16e6
    for end in range(20_000, 100_001, 20_000):
        assert agent.send(whole[:end], sent, status=STATUS).status_code == 200
        sent = end
    tab.sign_in(cloud.key)
    tab.page.goto(f"{tab.origin}/brain?id=long")
    tab.page.wait_for_selector("#chart-days canvas")
    expect(tab.page.locator("#feed-note")).to_contain_text("The newest 50 of 100,000 events")
    assert tab.page.locator("#feed > li").count() == 50
    tab.page.screenshot(path=artifacts / "state-100000-events.png", full_page=True)
    tab.page.get_by_role("link", name="Older corrections").focus()
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_selector("#event-99950")
    expect(tab.page.locator("#feed-note")).to_contain_text("50 older ones, newest first")
    tab.page.screenshot(path=artifacts / "state-older.png")
    assert agent.send([*whole, correction(20_001, "a b", "a d")], sent, status=STATUS).status_code == 200
    tab.page.get_by_role("link", name="Newest").press("Enter")
    tab.page.wait_for_selector("#event-100001")


def test_nothing_yet_is_a_page_that_helps(tab: Tab, agent: Agent, cloud: LiveCloud, artifacts: Path) -> None:
    """No brain: how to connect one. A brain without corrections: it says so. No such brain: it says that."""
    tab.sign_in(cloud.key)
    expect(tab.page.get_by_role("heading", name="Connect the first brain")).to_be_visible()
    assert accessible(tab) == []
    tab.page.screenshot(path=artifacts / "state-no-brain-yet.png")
    agent.send([json.dumps({"event_id": "n", "type": "NOTE"}).encode() + b"\n"], status=STATUS)
    tab.page.wait_for_selector("table.fleet")  # it appears by itself
    tab.page.get_by_role("link", name=agent.brain).click()
    expect(tab.page.locator("#feed-note")).to_contain_text("None yet")
    expect(tab.page.locator("#chart-days")).to_contain_text("No corrections in the last thirty days")
    assert accessible(tab) == []
    tab.page.screenshot(path=artifacts / "state-no-correction-yet.png", full_page=True)
    tab.check()
    tab.page.goto(f"{tab.origin}/brain?id=nobody")
    expect(tab.page.get_by_role("heading", name="No such brain")).to_be_visible()
    assert accessible(tab) == []
    tab.page.screenshot(path=artifacts / "state-no-such-brain.png")
    tab.complaints.clear()  # the browser's own, of a page whose status is 404


def test_everything_is_reached_with_the_keyboard(tab: Tab, agent: Agent, cloud: LiveCloud) -> None:
    """Sign in, skip to the content, open a brain; the focus survives a live update."""
    log = history(3)
    agent.send(log[:2], status=STATUS)
    tab.page.goto(tab.origin)
    expect(tab.page.get_by_label("Key", exact=True)).to_be_focused()
    tab.page.keyboard.type(cloud.key)
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_selector("[data-link=live]")
    tab.page.keyboard.press("Tab")
    assert tab.page.evaluate("document.activeElement.textContent") == "Skip to the content"
    tab.page.get_by_role("link", name=agent.brain).focus()
    tab.page.evaluate("window.before = document.getElementById('fleet')")
    assert agent.send(log, 2, status=STATUS | {"state": "paused", "trouble": "denied"}).status_code == 200
    expect(tab.page.locator("table.fleet .state")).to_have_text("paused")
    assert tab.page.evaluate("document.getElementById('fleet') !== window.before")
    assert tab.page.evaluate("document.activeElement.textContent") == agent.brain
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_selector("#feed")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_every_view_is_accessible_and_fits(
    chromium: Browser, live_cloud: LiveCloud, artifacts: Path, scheme: Any, width: int
) -> None:
    """In both colour schemes, at a desk and on a phone: no serious violation, nothing wider than the screen."""
    cloud = live_cloud
    fill_fleet(cloud)
    context = chromium.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
    tab = Tab(context.new_page(), cloud.url.removesuffix("/api/v1"))
    tab.page.goto(tab.origin)
    shots = {"sign-in": accessible(tab)}
    tab.page.screenshot(path=artifacts / f"sign-in-{scheme}-{width}.png", full_page=True)
    tab.sign_in(cloud.key)
    expect(tab.page.locator("tr.alert")).not_to_have_count(0)
    shots["fleet"] = accessible(tab)
    tab.page.screenshot(path=artifacts / f"fleet-{scheme}-{width}.png", full_page=True)
    for name in ("support-desk", "legal-review"):
        tab.page.goto(f"{tab.origin}/brain?id={name}")
        tab.page.wait_for_selector("#chart-days canvas")
        shots[name] = accessible(tab)
        tab.page.screenshot(path=artifacts / f"{name}-{scheme}-{width}.png", full_page=False)
        tab.page.locator("#feed").scroll_into_view_if_needed()
        tab.page.screenshot(path=artifacts / f"{name}-feed-{scheme}-{width}.png", full_page=False)
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= width
    assert shots == {"sign-in": [], "fleet": [], "support-desk": [], "legal-review": []}
    tab.check()
    context.close()


def fill_fleet(cloud: LiveCloud) -> None:
    """Brains in several states, one with dead letters."""
    week = (datetime.now(UTC) - timedelta(days=9)).isoformat()
    said: dict[str, dict[str, object]] = {
        "support-desk": {},
        "legal-review": {"state": "paused", "trouble": "misconfigured", "backlog_bytes": 48_210, "dead_letters": 1},
        "docs-writer": {"last_event_at": week},
        "sales-mail": {"state": "lagging", "backlog_bytes": 1_850_210},
    }
    for name, status in said.items():
        agent = Agent(cloud, brain=name)
        log = history(60)
        status["log_bytes"] = sum(map(len, log)) + 1_000_000_000
        agent.send(log, status=STATUS | status)
        if name == "legal-review":
            leaf = hashlib.sha256(b"\0" + b"x" * 99 + b"\n").hexdigest()
            body = agent.body(log, 60, count=1, hole={"length": 100, "leaf": leaf}, status=STATUS | status)
            assert agent.ask("POST", "/ingest", body).status_code == 200


def test_the_vendored_checker_is_what_the_table_says() -> None:
    """axe-core is unchanged since it was taken."""
    table = (AXE.parent / "README.md").read_text(encoding="utf-8")
    assert re.findall("`([0-9a-f]{64})`", table) == [hashlib.sha256(AXE.read_bytes()).hexdigest()]
