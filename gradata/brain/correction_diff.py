"""The differences between a draft and its final text, in bounded time at any size.

Pure. The distance is exact while the changed middle is small (budget below), else an estimate from words, else from
word counts, and says so. Categories come from a small table of rules; nothing is learned here. Partner: `brain`, which
validates first and redacts what it passes on, because descriptions quote words of the texts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import islice

TEXT_CHARACTERS_MAX = 100_000
SHORT_PAIRS_MAX = 40_000
"""Up to here the distance is computed without rapidfuzz, which a short-lived hook would load for it alone: 0.1 ms."""
CHARACTER_PAIRS_MAX = 25_000_000
"""Budget of the exact distance: length times length of what remains after trimming. Costs about 1 ms."""
WORD_PAIRS_MAX = 9_000_000
"""Budget of the distance over words, which costs more for a pair: about 3 ms."""
CLASSIFIED_CHARACTERS_MAX = 20_000
WORDS_SHOWN_MAX = 4

SEVERITIES = ("as-is", "minor", "moderate", "major", "discarded")
_SEVERITY_BELOW = ((0.02, "as-is"), (0.10, "minor"), (0.30, "moderate"), (0.80, "major"))
SCOPES = ("domain", "one_off", "universal", "project")
GENERAL = "GENERAL"

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_NUMBER = re.compile(r"\d+(?:[.,:/\-]\d+)*")
_PARAGRAPH = re.compile(r"\n[ \t]*\n|^[ \t]*(?:[-*•#]|\d+[.)])[ \t]", re.MULTILINE)
_FORMAL_WORDS = """
    dear sincerely regards kindly please pleased inform hereby furthermore therefore regarding madam sir attached"""
_CASUAL_WORDS = "hey hi hello yeah yep nope thanks cheers folks gonna wanna cool awesome btw ok okay lol"
_LINKING_WORDS = """
    a an and are as at be but by for from had has have i in is it its of on or our so that the their them then there
    they this to was we were will with you your"""
_FORMAL, _CASUAL, _LINKING = (frozenset(words.split()) for words in (_FORMAL_WORDS, _CASUAL_WORDS, _LINKING_WORDS))


@dataclass(frozen=True, slots=True)
class Distance:
    """The share of both texts that was deleted or inserted: 0.0 equal, 1.0 nothing in common (1 - 2·M/T of difflib)."""

    value: float
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Classification:
    """One kind of change, with a description."""

    category: str
    description: str


@dataclass(frozen=True, slots=True)
class Analysis:
    """The analysis of one correction."""

    distance: Distance
    severity: str
    classifications: tuple[Classification, ...]
    lines_added: int
    lines_removed: int

    @property
    def summary(self) -> str:
        """The classifications in one line."""
        return "; ".join(each.description for each in self.classifications)

    @property
    def category(self) -> str:
        """The first, hence weightiest, classification's category."""
        return self.classifications[0].category if self.classifications else GENERAL


def analyse(draft: str, final: str, draft_words: str | None = None, final_words: str | None = None) -> Analysis:
    """Distance and lines of the texts as they are. What may be quoted comes from `draft_words` and `final_words`: the
    texts without their secrets; by default the texts themselves."""
    apart = distance(draft, final)
    grown = final.count("\n") - draft.count("\n")
    return Analysis(
        distance=apart,
        severity=severity_of(apart.value),
        classifications=classify(
            draft if draft_words is None else draft_words, final if final_words is None else final_words
        ),
        lines_added=max(grown, 0),
        lines_removed=max(-grown, 0),
    )


def severity_of(value: float) -> str:
    """The name of a distance: as-is < .02, minor < .10, moderate < .30, major < .80, else discarded."""
    return next((name for bound, name in _SEVERITY_BELOW if value < bound), SEVERITIES[-1])


# ---------------------------------------------------------------- how far apart


def distance(draft: str, final: str) -> Distance:
    """Insertions and deletions between the texts over the length of both. Bounded by the budgets above."""
    total = len(draft) + len(final)
    cut, added = trim(draft, final)
    if not cut or not added:
        return Distance(round((len(cut) + len(added)) / total, 6) if total else 0.0)
    if len(cut) * len(added) <= CHARACTER_PAIRS_MAX:
        return Distance(round(_indel(cut, added) / total, 6))
    share = _word_distance(cut, added)
    return Distance(round(share * (len(cut) + len(added)) / total, 6), estimated=True)


def trim(draft: str, final: str) -> tuple[str, str]:
    """Both texts without what they begin and end with in common."""
    start = _common(draft, final, lambda text, length: text[:length])
    draft, final = draft[start:], final[start:]
    end = _common(draft, final, lambda text, length: text[len(text) - length :])
    return draft[: len(draft) - end], final[: len(final) - end]


def _common(draft: str, final: str, part: Callable[[str, int], str]) -> int:
    """The largest length at which both parts are equal, by bisection: 17 comparisons for 100,000 characters."""
    low, high = 0, min(len(draft), len(final))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if part(draft, middle) == part(final, middle) else (low, middle - 1)
    return low


def _indel(draft: str | list[int], final: str | list[int]) -> int:
    if len(draft) * len(final) <= SHORT_PAIRS_MAX:
        return len(draft) + len(final) - 2 * _in_common(draft, final)
    from rapidfuzz.distance import Indel  # 40 ms: paid when a Brain is first imported, and not by a hook

    return Indel.distance(draft, final)


def _in_common(draft: Sequence[Hashable], final: Sequence[Hashable]) -> int:
    """Length of the longest common subsequence, a row of the table in one integer (Hyyrö, 2004)."""
    places: dict[Hashable, int] = {}
    for index, each in enumerate(draft):
        places[each] = places.get(each, 0) | 1 << index
    everywhere = (1 << len(draft)) - 1
    row = everywhere
    for each in final:
        met = row & places.get(each, 0)
        row = (row + met | row - met) & everywhere
    return len(draft) - row.bit_count()


def _word_distance(draft: str, final: str) -> float:
    """The share of words cut or added: in order if the budget allows, else by their counts alone."""
    cut, added = _WORD.findall(draft), _WORD.findall(final)
    words = len(cut) + len(added)
    if not words:
        return 1.0
    if len(cut) * len(added) <= WORD_PAIRS_MAX:
        number = {word: index for index, word in enumerate(dict.fromkeys(cut + added))}
        return _indel([number[word] for word in cut], [number[word] for word in added]) / words
    common = (Counter(cut) & Counter(added)).total()
    return 1.0 - 2 * common / words


# ---------------------------------------------------------------- what kind of change


def classify(draft: str, final: str) -> tuple[Classification, ...]:
    """What was done, weightiest first, by the table of rules; looks at the first 20,000 characters of each."""
    before, after = _View.of(draft[:CLASSIFIED_CHARACTERS_MAX]), _View.of(final[:CLASSIFIED_CHARACTERS_MAX])
    found = (Classification(category, said) for category, rule in _RULES if (said := rule(before, after)))
    return tuple(found) or (Classification("STYLE", "Wording changed"),)


@dataclass(frozen=True, slots=True)
class _View:
    text: str
    words: tuple[str, ...]
    numbers: Counter[str]

    @classmethod
    def of(cls, text: str) -> _View:
        return cls(text, tuple(word.lower() for word in _WORD.findall(text)), Counter(_NUMBER.findall(text)))

    @property
    def formality(self) -> int:
        return sum(word in _FORMAL for word in self.words) - sum(word in _CASUAL for word in self.words)


def _formatting(before: _View, after: _View) -> str:
    return "Formatting only (spaces, punctuation, case)" if before.words and before.words == after.words else ""


def _tone(before: _View, after: _View) -> str:
    shift = after.formality - before.formality
    if shift == 0:
        return ""
    return f"Tone {'formalised' if shift > 0 else 'casualised'} (formality shift: {shift:+d})"


def _factual(before: _View, after: _View) -> str:
    cut, added = before.numbers - after.numbers, after.numbers - before.numbers
    if not cut or not added:
        return ""
    return f"Factual correction ({_shown(cut)} became {_shown(added)})"


def _content(before: _View, after: _View) -> str:
    cut, added = _only(before, after), _only(after, before)
    if not cut and not added:
        return ""
    parts = [f"{name}: {_shown(words)}" for name, words in (("cut", cut), ("added", added)) if words]
    return f"Content change ({'; '.join(parts)})"


def _structure(before: _View, after: _View) -> str:
    blocks, others = len(_PARAGRAPH.findall(before.text)), len(_PARAGRAPH.findall(after.text))
    if blocks != others:
        return f"Structure changed (blocks: {blocks} became {others})"
    if before.words != after.words and sorted(before.words) == sorted(after.words):
        return "Structure changed (same words, another order)"
    return ""


_RULES = (
    ("FORMATTING", _formatting),
    ("TONE", _tone),
    ("FACTUAL", _factual),
    ("STRUCTURE", _structure),
    ("CONTENT", _content),
)


def _only(one: _View, other: _View) -> dict[str, None]:
    """Words that carry meaning and stand in `one` alone, in their order."""
    known = frozenset(other.words) | _LINKING
    return dict.fromkeys(word for word in one.words if word not in known and len(word) > 2 and not word.isdigit())


def _shown(words: dict[str, None] | Counter[str]) -> str:
    return ", ".join(word[:40] for word in islice(words, WORDS_SHOWN_MAX))
