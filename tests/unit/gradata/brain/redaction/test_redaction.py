"""Redaction: what must go, what must stay, the whole of an event, and what it costs as texts grow."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradata.brain import correction_event, events
from gradata.brain.redaction.redaction import findings, redact, redact_integer, without_placeholders
from gradata.brain.redaction.secret_forms import NUMERIC, PREFIXED
from gradata.hooks.host_call import Edit
from gradata.hooks.recording import bounded

CORPUS = Path(__file__).parents[5] / "fixtures" / "secrets"
SECRETS: list[dict[str, Any]] = [json.loads(line) for line in (CORPUS / "goes.jsonl").read_text("utf-8").splitlines()]
INNOCENTS = (CORPUS / "stays.txt").read_text("utf-8").splitlines()
HOSTILE = ["".join(parts) for parts in json.loads((CORPUS / "hostile.json").read_text("utf-8"))]
KINDS = sorted({str(each["kind"]) for each in SECRETS})
TOUCHED_MAX = 0.01
CARD = "4" + "1" * 15
FOURS = "-".join([CARD[:4], *["1" * 4] * 3])


def one_of(kind: str) -> str:
    """The first secret of a kind in the corpus; its parts are joined here, so that no scanner takes it for one."""
    return next("".join(each["secret"]) for each in SECRETS if each["kind"] == kind)


@pytest.mark.parametrize("case", SECRETS, ids=lambda case: case["kind"])
def test_what_must_go_goes_and_nothing_beside_it(case: dict[str, Any]) -> None:
    """Each secret of the corpus becomes the placeholder of its kind; the text around it stays."""
    text = case["before"] + "".join(case["secret"]) + case["after"]
    assert redact(text) == f"{case['before']}[REDACTED_{case['kind']}]{case['after']}"


@pytest.mark.parametrize("mark", ["-", "+", "@@ -1 +1 @@\n-", "x\\n-", "x\\n+", "\\t", "> "])
def test_all_go_from_patches_and_quotations_too(mark: str) -> None:
    """At the beginning of a line behind a mark, and behind the escapes of a text within JSON."""
    left = []
    for case in SECRETS:
        secret = "".join(case["secret"])
        alone = redact(secret) == f"[REDACTED_{case['kind']}]"
        redacted = redact(mark + (secret if alone else case["before"] + secret + case["after"]))
        if "[REDACTED_" not in redacted or secret in redacted.replace(case["before"], ""):
            left.append(case)
    assert left == []


def test_what_must_stay_stays() -> None:
    """Of numbers, hashes, code, versions and texts about keys at most one in a hundred is touched."""
    touched = [text for text in INNOCENTS if redact(text) != text]
    assert len(touched) <= TOUCHED_MAX * len(INNOCENTS), touched


def test_the_corpus_is_large_and_has_every_kind() -> None:
    """At least 120 secrets, each kind among them, and 400 innocents, none twice."""
    assert len({"".join(each["secret"]) for each in SECRETS}) >= 120
    assert len(set(INNOCENTS)) == len(INNOCENTS) >= 400
    assert sorted({"EMAIL", "CC"} | {form.kind for form in (*PREFIXED, *NUMERIC)}) == KINDS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mail bob@example.com.", "mail [REDACTED_EMAIL]."),
        ("<a.b+c@d-e.co.uk>, x", "<[REDACTED_EMAIL]>, x"),
        ("josé@müller.de", "[REDACTED_EMAIL]"),
        ("x@пример.рф y@a.xn--p1ai", "[REDACTED_EMAIL] [REDACTED_EMAIL]"),
        ("two:a@b.io,c@d.io", "two:[REDACTED_EMAIL],[REDACTED_EMAIL]"),
        ("a@b@c.de", "a@[REDACTED_EMAIL]"),
        ("user@localhost, @handle, react@18.2.0, 5 @ 3.00", "user@localhost, @handle, react@18.2.0, 5 @ 3.00"),
        ("git@example.com:a/b.git, legit@example.com", "git@example.com:a/b.git, [REDACTED_EMAIL]"),
        ("l" * 300 + "@example.com", "[REDACTED_EMAIL]"),
    ],
)
def test_addresses_go_whole(text: str, expected: str) -> None:
    """E-mail addresses go, whole; handles, versions, prices and addresses of repositories stay."""
    assert redact(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"1234 {CARD[:4]} {CARD[4:8]} {CARD[8:12]} {CARD[12:]}", "1234 [REDACTED_CC]"),
        (f"{CARD},{CARD}", "[REDACTED_CC],[REDACTED_CC]"),
        (f"{FOURS} {FOURS} 12345", "[REDACTED_CC] [REDACTED_CC] 12345"),
        (f"12345 {FOURS}-1111-1", "12345 [REDACTED_CC]-1111-1"),
        (CARD[:-1] + "2", CARD[:-1] + "2"),
        (f"0.{CARD}", f"0.{CARD}"),
        (f"{CARD}.25", f"{CARD}.25"),
        (f"a{CARD}", f"a{CARD}"),
    ],
)
def test_a_card_is_found_among_other_numbers(text: str, expected: str) -> None:
    """One that begins inside what is none, one behind the other; no decimals, no part of a longer word."""
    assert redact(text) == expected


def test_a_token_in_a_url_leaves_its_host() -> None:
    """A token before an @ is a token: it is neither an address nor the URL's password with its host."""
    token = one_of("GITHUB_TOKEN")
    assert redact(f"https://x:{token}@example.com/a") == "https://x:[REDACTED_GITHUB_TOKEN]@example.com/a"
    assert redact(f"https://{token}@example.com/a") == "https://[REDACTED_GITHUB_TOKEN]@example.com/a"


def test_a_key_that_is_cut_off_goes_as_far_as_it_looks_like_one() -> None:
    """Without its end mark; the marks alone, as documents quote them, stay, and so does what follows a cut key."""
    begin, end = (f"-----{mark} PRIVATE KEY-----" for mark in ("BEGIN", "END"))
    assert redact(f"{begin}\n{'MIIE' * 12}\n{'q83v' * 12}\nThe end.") == "[REDACTED_PRIVATE_KEY]\nThe end."
    for text in (f"{begin}\n...\n{end}", f"it begins with {begin} and a line feed", f"{begin}{begin}"):
        assert redact(text) == text


def test_digits_in_a_row_are_a_telephone_number_only_where_the_text_says_so() -> None:
    """Ten digits are a time or an id as often as not."""
    assert redact("phone: 4155550132, id 4155550132") == "phone: [REDACTED_PHONE], id 4155550132"


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_an_event_holds_a_secret(kind: str) -> None:
    """Texts, summary, classifications, category, context with its keys, options and tags: all of the line."""
    case = next(each for each in SECRETS if each["kind"] == kind)
    secret = "".join(case["secret"])
    text = case["before"] + secret + case["after"]
    said = correction_event.correction_data(
        f"Dear Sir, the value is {text}",
        f"Hey, 12 values were {text} once and are {text} now",
        category=text if len(text) < 60 else None,
        scope=None,
        applies_to=f"all of {text}",
        options={"context": {f"key {text}": [text, {"deep": (f"a {text}",)}]}, "agent_type": f"a {text}"},
    )
    said["patch"] = f"@@ -1 +1 @@\n-old = {text}\n+new = {text}\n"
    event = events.build(
        "CORRECTION", "a source", said, tags=["category:X"], session=1, now=datetime(2026, 11, 29, tzinfo=UTC)
    )
    line = events.line_of(events.signed(event, brain_id="b", device_id="d", event_id="e")).decode()
    assert secret not in line
    assert json.dumps(secret)[1:-1] not in line
    assert secret.upper() not in line


def test_a_tag_and_a_source_are_redacted() -> None:
    """Names are texts, too."""
    now = datetime(2026, 11, 29, tzinfo=UTC)
    event = events.build("X", "from a@b.io", {}, tags=["to c@d.io"], session=None, now=now)
    assert (event["source"], event["tags"]) == ("from [REDACTED_EMAIL]", ["to [REDACTED_EMAIL]"])


def test_a_card_as_an_integer_goes() -> None:
    """What JSON holds as a number is the same number."""
    assert events.readable({"card": int(CARD), "n": 1_764_455_555_123_456}) == {
        "card": "[REDACTED_CC]",
        "n": 1_764_455_555_123_456,
    }
    assert (redact_integer(-int(CARD)), redact_integer(int(CARD) + 1)) == (-int(CARD), int(CARD) + 1)


def test_a_cut_leaves_no_half_of_a_secret() -> None:
    """A hook's texts of more than 100,000 characters are cut around the change: secrets are taken out before."""
    key = one_of("PRIVATE_KEY")
    begin = "x" * 60_000 + key + "\n"
    edit = bounded(Edit(begin + "old", begin + "new"))
    assert key[-200:-100] not in edit.draft + edit.final
    assert edit.draft.endswith("old")
    assert bounded(Edit(begin + one_of("GITHUB_TOKEN"), begin + one_of("GITHUB_TOKEN")[:-4] + "AAAA")) == Edit("", "")


def test_a_placeholder_is_no_word() -> None:
    """What classifies a text does not see it."""
    assert without_placeholders(redact(f"to {CARD}, a@b.io")) == "to  ,  "


@given(st.text(max_size=60), st.sampled_from(SECRETS), st.text(max_size=60))
def test_redacting_again_changes_nothing(before: str, case: dict[str, Any], after: str) -> None:
    """Placeholders hold no secret, so an event that is built from a redacted one is the same."""
    once = redact(before + "".join(case["secret"]) + after)
    assert redact(once) == once


@given(st.text(alphabet="sk-ghp_eyJ.:/@+4 15a(){}\n", max_size=300))
def test_findings_are_in_order_and_apart(text: str) -> None:
    """Half-open places inside the text, each behind the one before."""
    end = 0
    for each in findings(text):
        assert end <= each.start < each.end <= len(text)
        end = each.end


@pytest.mark.parametrize("unit", HOSTILE, ids=range(len(HOSTILE)))
def test_the_cost_grows_with_the_text_and_not_with_its_square(unit: str) -> None:
    """Eight times the text costs about eight times as much, where a square would be sixty-four times."""

    def cost(text: str) -> float:
        return min(_seconds(lambda: redact(text)) for _ in range(3))

    assert cost(repeated(unit, 80_000)) < 24 * cost(repeated(unit, 10_000)) + 0.001


def repeated(unit: str, characters: int) -> str:
    """A text of this length. One that needs a mark somewhere gets it at its end."""
    marks = "PRIVATE KEY eyJ @ :// 123 +"
    return (unit * (characters // len(unit) + 1))[: characters - len(marks)] + marks


def _seconds(do: Callable[[], object]) -> float:
    before = time.process_time()
    do()
    return time.process_time() - before
