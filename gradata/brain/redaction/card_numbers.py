"""Payment card numbers in a text: by their length, their issuer's prefix and their check digit.

Pure. Digits in one row might be any number, so all three count; in groups of four the check digit alone does. Partner:
`redaction`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from gradata.brain.redaction.secret_forms import EDGE_BEHIND_ONE

_GROUPS_OF_A_CARD = 4
_GROUP_CHARACTERS = 5
"""Four digits and what parts them from the next."""
_ISSUED = re.compile(
    r"4[0-9]{12}(?:[0-9]{3}){0,2}|5[1-5][0-9]{14}|2(?:22[1-9]|2[3-9][0-9]|[3-6][0-9]{2}|7[01][0-9]|720)[0-9]{12}"
    r"|3[47][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}|35(?:2[89]|[3-8][0-9])[0-9]{12}|62[0-9]{14,17}"
    r"|(?:50|5[6-8]|6[0-9])[0-9]{14}"
)
# In one row, or as American Express and Diners Club print theirs.
_ALONE = re.compile(
    rf"[0-9]{EDGE_BEHIND_ONE} (?: [0-9]{{12,18}}+ | [0-9]{{3}}[ -][0-9]{{6}}[ -][0-9]{{4,5}}+ )"
    r"(?! [A-Za-z0-9_] | \.[0-9] )",
    re.VERBOSE,
)
_IN_FOURS = re.compile(rf"[0-9]{EDGE_BEHIND_ONE} [0-9]{{3}} (?: [ -][0-9]{{4}} (?! [A-Za-z0-9_] ) ){{3,}}+", re.VERBOSE)
_VALUES = bytes(byte & 15 for byte in range(256))
_DOUBLED = bytes(sum(divmod(2 * min(byte & 15, 9), 10)) for byte in range(256))


def is_card_number(digits: str) -> bool:
    """Whether the digits are a card's number: prefix and length of an issuer, and the check digit (Luhn; ISO/IEC
    7812-1, annex B). Visa's numbers of 13 digits are out of use, but stand in test data still."""
    return _ISSUED.fullmatch(digits) is not None and _checks(digits)


def card_numbers(text: str) -> Iterator[tuple[int, int]]:
    """Where card numbers stand: half-open, in characters. Linear in the text."""
    for match in _ALONE.finditer(text):
        digits = match[0]
        if is_card_number(digits) if digits.isdecimal() else _checks(digits):
            yield match.span()
    for match in _IN_FOURS.finditer(text):
        for group in _cards_in_fours(match[0]):
            start = match.start() + group * _GROUP_CHARACTERS
            yield start, start + _GROUPS_OF_A_CARD * _GROUP_CHARACTERS - 1


def _checks(digits: str) -> bool:
    values = digits.encode().translate(_VALUES, b" -")
    return sum(values[::-2] + values[-2::-2].translate(_DOUBLED)) % 10 == 0


def _cards_in_fours(run: str) -> Iterator[int]:
    """The first group of each card among many groups of four digits. What a group adds to the check does not depend on
    its place, so that it is added up once for all the cards that it may belong to."""
    values = run.encode().translate(_VALUES, b" -")
    doubled = values.translate(_DOUBLED)
    sums = [sum(each) for each in zip(doubled[::4], values[1::4], doubled[2::4], values[3::4], strict=True)]
    group = 0
    while group + _GROUPS_OF_A_CARD <= len(sums):
        found = sum(sums[group : group + _GROUPS_OF_A_CARD]) % 10 == 0
        if found:
            yield group
        group += _GROUPS_OF_A_CARD if found else 1
