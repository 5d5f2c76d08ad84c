"""A real browser: Debian's Chromium through Playwright, against a real cloud.

`setup.sh` beside this file installs it. Without it these tests are skipped, except where `CI` is set: there they fail.
A page that writes an error to its console, or asks another host for anything, fails its test.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Response, sync_playwright

from tests.support.cloud_client import Agent
from tests.support.cloud_fixture import LiveCloud, StartCloud

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WAIT_MS = 60_000


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The browser, one for the tests of a file: while it lives, no other loop runs in this thread."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        missing = "no chromium here: run tests/browser/setup.sh"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@dataclass
class Tab:
    """A page, with everything that it complained of and asked for."""

    page: Page
    origin: str
    complaints: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    answers: list[Response] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(WAIT_MS)
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._request)
        self.page.on("response", lambda answer: self.answers.append(answer))
        self.page.on("dialog", lambda dialog: self.complaints.append(f"a dialog: {dialog.message}"))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _request(self, request: Request) -> None:
        self.asked.append(request.url)

    def sign_in(self, key: str, path: str = "/") -> None:
        """Sign in by the form, on the way to `path`."""
        self.page.goto(self.origin + path)
        self.page.get_by_label("Key", exact=True).fill(key)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_selector("[data-link=live]")

    def check(self) -> None:
        """Nothing went wrong, and nobody else was asked."""
        assert self.complaints == []
        assert [url for url in self.asked if not url.startswith(self.origin)] == []


@pytest.fixture
def cloud(start_cloud: StartCloud) -> LiveCloud:
    """A cloud that calls a brain silent after four seconds."""
    return start_cloud(silent_s=4.0)


@pytest.fixture
def tab(chromium: Browser, cloud: LiveCloud) -> Iterator[Tab]:
    """A tab of its own profile."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    made = Tab(context.new_page(), cloud.url.removesuffix("/api/v1"))
    yield made
    context.close()
    made.check()


@pytest.fixture
def agent(cloud: LiveCloud) -> Agent:
    """A brain of this cloud."""
    return Agent(cloud, brain="support-desk")


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots go: GRADATA_SCREENSHOTS, else a temporary directory."""
    named = os.environ.get("GRADATA_SCREENSHOTS")
    if named is None:
        return tmp_path_factory.mktemp("screenshots")
    os.makedirs(named, exist_ok=True)
    return Path(named)
