"""The README's quick start as a script, and its end: the correction in the page. For a test, and for a benchmark."""

from __future__ import annotations

import re
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]
PORT = "8787"
WORD = "shipped"
"""Of the final text; the page shows the difference to the draft word by word."""


def commands() -> list[str]:
    """The lines of the README's quick start; the first makes the environment."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(r"<!-- quick start -->\n```sh\n(.*?)```", text, re.DOTALL)
    assert found, "README.md has no quick start"
    return found[1].splitlines()


def script(lines: list[str], port: int) -> str:
    """The lines as one script that stops at the first error, with its cloud at another port than the usual one."""
    served = [line.replace("gradata serve &", f"gradata serve --port {port} &") for line in lines]
    return "\n".join(
        ["set -e", "trap 'kill %1' EXIT", *(line.replace(PORT, str(port)) for line in served), "read -r _"]
    )


def is_in_the_page(port: int, key: str) -> bool:
    """Whether somebody who signs in with the key finds the correction by following the page's own links."""
    page = f"http://127.0.0.1:{port}"
    with httpx.Client(trust_env=False, follow_redirects=True, headers={"Origin": page}) as browser:
        fleet = browser.post(f"{page}/sign-in", data={"key": key, "next": "/"})
        links = re.findall(r'href="(/brain\?[^"]+)"', fleet.text)
        return any(WORD in browser.get(page + link.replace("&amp;", "&")).text for link in links)
