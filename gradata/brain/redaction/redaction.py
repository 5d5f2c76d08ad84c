"""Find the secrets in a text and replace them, before an event is written.

Pure, and linear in the text: a form is looked for only where one of its literals stands. Partners: `secret_forms` and
`card_numbers` say what is looked for, `events` passes every text of an event through `redact`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import NamedTuple

from gradata.brain.redaction.card_numbers import card_numbers, is_card_number
from gradata.brain.redaction.secret_forms import HOST, MAILBOX, NUMERIC, PREFIXED, SecretForm

SHORTEST_CHARACTERS = 6
"""The shortest thing that is found: a@b.io."""
_CARD = "CC"
_NAME_CHARACTERS = 16
"""What is shorter, and has letters and underscores alone, is a word or a name: the most of an event's keys."""
_REPOSITORY_USER = "git"
"""`git@host.com:owner/name` is the address of a repository."""
_NINE_DIGITS = re.compile(r"[0-9](?:[ .()-]{0,2}[0-9]){8}")
"""Part of every number that is looked for."""
_PLACEHOLDER = re.compile(r"\[REDACTED_[A-Z]{1,20}(?:_[A-Z]{1,20}){0,3}\]")


class SecretFinding(NamedTuple):
    """What a secret is and where it stands: half-open, in characters. Never the secret itself."""

    kind: str
    start: int
    end: int

    @property
    def placeholder(self) -> str:
        """What is written in its place."""
        return f"[REDACTED_{self.kind}]"


class RedactedText(str):
    """A text without its secrets, so that it need not be searched again. What is cut from it or added is plain text."""

    __slots__ = ()


def redact(text: str) -> str:
    """The text with its secrets replaced by placeholders. Safe to repeat."""
    found = findings(text)
    if not found:
        return text
    parts: list[str] = []
    end = 0
    for each in found:
        parts += (text[end : each.start], each.placeholder)
        end = each.end
    return "".join([*parts, text[end:]])


def redact_integer(value: int) -> int | str:
    """The placeholder if the integer is a card's number; else itself."""
    return f"[REDACTED_{_CARD}]" if value >= 10**12 and is_card_number(str(value)) else value


def findings(text: str) -> list[SecretFinding]:
    """The secrets in a text, in its order. What overlaps is one finding, of the kind whose place begins first."""
    if len(text) < _NAME_CHARACTERS and (len(text) < SHORTEST_CHARACTERS or text.replace("_", "").isalpha()):
        return []
    found = [each for form in _possible(text) for each in _matches(form, text)]
    if _NINE_DIGITS.search(text):
        found += [SecretFinding(_CARD, start, end) for start, end in card_numbers(text)]
        found += [each for form in NUMERIC if _may_hold(text, form) for each in _matches(form, text)]
    found = _merged(found)
    if "@" in text:
        # `token@host.com` is no address: the host behind a secret stays.
        found = _merged([*found, *_apart(_addresses(text), found)])
    return found


def without_placeholders(text: str) -> str:
    """The text with a blank for each placeholder, which is no word of the text."""
    return _PLACEHOLDER.sub(" ", text) if "[REDACTED_" in text else text


def _by_mark() -> tuple[tuple[str, list[tuple[str, SecretForm]]], ...]:
    """The literals of the forms by a character that they have in common: most texts lack it, and are spared them."""
    groups: dict[str, list[tuple[str, SecretForm]]] = {"_": [], "-": [], "": []}
    for form in PREFIXED:
        for literal in form.literals:
            groups[next(mark for mark in groups if mark in literal)].append((literal, form))
    return tuple(groups.items())


_BY_MARK = _by_mark()


def _possible(text: str) -> list[SecretForm]:
    """The forms that the text may hold, each once."""
    possible: list[SecretForm] = []
    for mark, pairs in _BY_MARK:
        if mark in text:
            for literal, form in pairs:
                if literal in text and form not in possible:
                    possible.append(form)
    return possible


def _may_hold(text: str, form: SecretForm) -> bool:
    for literal in form.literals:  # not any(): a generator costs more than all the look-ups
        if literal in text:
            return not form.needs or _compiled(form.needs).search(text) is not None
    return False


def _matches(form: SecretForm, text: str) -> Iterator[SecretFinding]:
    pattern = _compiled(form.pattern)
    group = "secret" if "secret" in pattern.groupindex else 0
    for match in pattern.finditer(text):
        if form.accepted is None or form.accepted(match):
            yield SecretFinding(form.kind, *match.span(group))


def _addresses(text: str) -> Iterator[SecretFinding]:
    """E-mail addresses: each from its @ on, then back to where it begins. A mailbox holds no @, so no character is
    looked at twice; the usual expression is quadratic: 300 ms for 20,000 times "a"."""
    reversed_text = text[::-1]
    for host in HOST.finditer(text):
        mailbox = MAILBOX.match(reversed_text, len(text) - host.start())
        if mailbox is not None and mailbox[0][::-1] != _REPOSITORY_USER:
            yield SecretFinding("EMAIL", host.start() - len(mailbox[0]), host.end())


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """Compiled when a text first needs it: a hook that lives for milliseconds does not pay for all of them."""
    return re.compile(pattern, re.VERBOSE | re.ASCII | re.MULTILINE)


def _merged(found: list[SecretFinding]) -> list[SecretFinding]:
    merged: list[SecretFinding] = []
    for each in sorted(found, key=itemgetter(1)):  # stable: of two at one place, the first form's kind
        if merged and each.start < merged[-1].end:
            merged[-1] = merged[-1]._replace(end=max(merged[-1].end, each.end))
        else:
            merged.append(each)
    return merged


def _apart(found: Iterable[SecretFinding], before: list[SecretFinding]) -> Iterator[SecretFinding]:
    """Those that touch none of `before`. Both are in the text's order."""
    place = 0
    for each in found:
        while place < len(before) and before[place].end <= each.start:
            place += 1
        if place == len(before) or before[place].start >= each.end:
            yield each
