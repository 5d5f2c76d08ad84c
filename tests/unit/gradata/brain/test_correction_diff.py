"""What changed: distance, severity, categories, and the bound on their cost."""

from __future__ import annotations

import random
import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradata.brain.correction_diff import Analysis, Distance, analyse, classify, distance, severity_of, trim


@pytest.mark.parametrize(
    ("draft", "final", "expected"),
    [
        ("", "abc", 1.0),
        ("abc", "", 1.0),
        ("abc", "xyz", 1.0),
        ("same", "same", 0.0),
        ("", "", 0.0),
        ("abcd", "abxd", 0.25),
        ("report on Monday", "report on Tuesday", 0.212121),
        ("a", "ab", 0.333333),
        ("x", "", 1.0),
    ],
)
def test_the_distance_is_what_was_cut_and_added_over_both_lengths(draft: str, final: str, expected: float) -> None:
    """Small texts have the exact distance, rounded to six digits."""
    assert distance(draft, final) == distance(final, draft)
    assert (distance(draft, final).value, distance(draft, final).estimated) == (expected, False)


def _by_definition(draft: str, final: str) -> float:
    """The longest common subsequence by its textbook table."""
    above = [0] * (len(final) + 1)
    for mine in draft:
        row = [0]
        for index, other in enumerate(final):
            row.append(above[index] + 1 if mine == other else max(above[index + 1], row[index]))
        above = row
    total = len(draft) + len(final)
    return round((total - 2 * above[-1]) / total, 6)


@pytest.mark.parametrize("alphabet", ["ab", "abcdef", "aé\u20ac"])
def test_the_distance_is_that_of_the_definition(alphabet: str) -> None:
    """Of short texts of all kinds of likeness, in both directions, exactly; and of some for which a library is used."""
    chance = random.Random(7)
    for length in (*range(1, 40), 150, 260):
        draft, final = ("".join(chance.choices(alphabet, k=chance.randrange(1, length + 1))) for _ in range(2))
        assert distance(draft, final) == Distance(_by_definition(draft, final))


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (0.0, "as-is"), (0.019999, "as-is"), (0.02, "minor"), (0.0999, "minor"), (0.10, "moderate"),
        (0.2999, "moderate"), (0.30, "major"), (0.7999, "major"), (0.80, "discarded"), (1.0, "discarded"),
    ],
)  # fmt: skip
def test_severities_have_the_documented_bounds(value: float, name: str) -> None:
    """Each threshold belongs to the more severe side."""
    assert severity_of(value) == name


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=60), st.text(max_size=60))
def test_trimming_takes_common_ends_and_nothing_else(before: str, cut: str, added: str, behind: str) -> None:
    """What remains has no common beginning or end, and rebuilds both texts with what was taken."""
    draft, final = before + cut + behind, before + added + behind
    left, right = trim(draft, final)
    assert len(draft) - len(left) == len(final) - len(right)
    assert not (left and right and (left[0] == right[0] or left[-1] == right[-1]))
    start = next((i for i in range(len(draft) + 1) if draft[i:].startswith(left) and draft[:i] == final[:i]), None)
    assert start is not None


def _text(alphabet: str, length: int, seed: int) -> str:
    return "".join(random.Random(seed).choices(alphabet, k=length))


@pytest.mark.parametrize(
    "alphabet",
    [string.ascii_lowercase + "     ", "ab ", "a\n", ".;- \n", "".join(map(chr, range(0x4E00, 0x9000)))],
    ids=["words", "few", "lines", "signs", "ideographs"],
)
def test_100000_unrelated_characters_cost_a_bounded_time(alphabet: str) -> None:
    """The whole analysis of unrelated texts takes about 20 ms of CPU time at most; the test allows a second.

    Quadratic costs, which this guards against, would be seconds.
    """
    draft, final = _text(alphabet, 50_000, 1), _text(alphabet, 50_000, 2)
    analyse("warm", "up")
    costs = []
    for _ in range(3):
        before = time.process_time()
        found = analyse(draft, final)
        costs.append(time.process_time() - before)
    assert found.distance.estimated
    assert 0.0 <= found.distance.value <= 1.0
    assert min(costs) < 1.0


def test_a_small_edit_in_a_large_text_is_exact() -> None:
    """Trimming leaves the edit alone, so that its distance is no estimate, at any size."""
    text = _text(string.ascii_lowercase + " ", 49_000, 3)
    found = distance(text, text[:20_000] + "0123456789" + text[20_000:])
    assert (found.value, found.estimated) == (round(10 / 98_010, 6), False)


def test_estimates_keep_their_sense() -> None:
    """Among large texts, an estimate for a light edit is small and one for other words is large."""
    words = _text(string.ascii_lowercase + "  ", 30_000, 4).split()
    lightly = [word + "x" if i % 20 == 0 else word for i, word in enumerate(words)]
    light = distance(" ".join(words), " ".join(lightly))
    heavy = distance(" ".join(words), " ".join(word[::-1] + "x" for word in words))
    assert light.estimated
    assert heavy.estimated
    assert light.value < 0.10
    assert heavy.value > 0.80


@pytest.mark.parametrize(("length", "estimated"), [(5_000, False), (5_001, True)])
def test_the_budget_decides_whether_the_distance_is_exact(length: int, estimated: bool) -> None:
    """25 million pairs of characters are compared, and not one more."""
    found = distance("a" + "b" * 4_998 + "c", "d" + "e" * (length - 2) + "f")
    assert found == Distance(1.0, estimated)


def test_an_estimate_is_the_share_of_words_of_what_differs() -> None:
    """Half of the words in the changed middle, which is a part of the whole; signs without words have all changed."""
    ends = "the same at both ends " * 500
    words = [f"w{number:04}" for number in range(3_000)]
    other = [word if number % 2 else word.replace("w", "x") for number, word in enumerate(words)]
    draft, final = f"{ends}({' '.join(words)}){ends}", f"{ends}[{' '.join(other)}]{ends}"
    middle = len(f"({' '.join(words)})") / len(draft)
    assert distance(draft, final) == Distance(round(0.5 * middle, 6), estimated=True)
    signs = distance("a" + ".;" * 2_600 + "b", "a" + "-," * 2_600 + "b")
    assert signs == Distance(round(10_400 / 10_404, 6), estimated=True)


@pytest.mark.parametrize("count", [3_000, 3_001])
def test_words_beyond_the_budget_are_counted(count: int) -> None:
    """9 million pairs of words are compared in their order; beyond that, what both have counts as kept."""
    words = [f"w{number:04}" for number in range(3_000)]
    final = [*words[:0:-1], *("y" * 5 for _ in range(count - 2_999))]
    found = distance(f"({' '.join(words)})", f"[{' '.join(final)}]")
    kept = 2 if count == 3_000 else 2 * 2_999
    share = 1 - kept / (3_000 + count)
    assert found == Distance(round(share, 6), estimated=True)


@pytest.mark.parametrize(("count", "expected"), [(2_500, "in order"), (5_000, "by counts")])
def test_the_budget_decides_whether_the_order_of_words_counts(count: int, expected: str) -> None:
    """The same words backwards differ while the budget allows to look at their order, and agree beyond it."""
    words = [f"word{number}" for number in range(count)]
    found = distance(" ".join(words), " ".join(reversed(words)))
    assert found.estimated
    assert (found.value > 0.9) == (expected == "in order")
    assert (found.value < 0.01) == (expected == "by counts")


@pytest.mark.parametrize(
    ("draft", "final", "category"),
    [
        ("hello world", "Hello,  world!", "FORMATTING"),
        ("Dear Sir, please find it attached", "Hey, here it is", "TONE"),
        ("Hey, it works", "Dear Madam, it works, kindly note", "TONE"),
        ("We grew by 12% in 2025", "We grew by 15% in 2025", "FACTUAL"),
        ("One point. Another point.", "- One point.\n- Another point.", "FORMATTING"),
        ("First this\n\nthen that", "First this then that, shortly", "STRUCTURE"),
        ("alpha beta gamma", "gamma alpha beta", "STRUCTURE"),
        ("The launch is delayed", "The launch succeeded", "CONTENT"),
        ("he is in", "he was in", "STYLE"),
        ("", "something new", "CONTENT"),
    ],
)
def test_each_rule_names_its_category(draft: str, final: str, category: str) -> None:
    """The weightiest classification of a plain example of each rule is that rule's category."""
    assert classify(draft, final)[0].category == category


@pytest.mark.parametrize(
    ("draft", "final", "said"),
    [
        ("hello world", "Hello,  world!", ["Formatting only (spaces, punctuation, case)"]),
        ("", "...", ["Wording changed"]),
        (
            "Hey, it works",
            "Dear Madam, it works, kindly note",
            [
                "Tone formalised (formality shift: +4)",
                "Content change (cut: hey; added: dear, madam, kindly, note)",
            ],
        ),
        ("Hey you", "Hey, dear you", ["Tone formalised (formality shift: +1)", "Content change (added: dear)"]),
        ("It is 1.5 and 2,000, 7", "It is 1.6 and 2,001, 7", ["Factual correction (1.5, 2,000 became 1.6, 2,001)"]),
        ("1 2 3 4 5", "6 7 8 9 10", ["Factual correction (1, 2, 3, 4 became 6, 7, 8, 9)"]),
        ("It rose by 5", "It rose by", ["Wording changed"]),
        ("It rose by", "It rose by 5", ["Wording changed"]),
        (
            "First this\n\nthen that",
            "First this then that, shortly",
            ["Structure changed (blocks: 1 became 0)", "Content change (added: shortly)"],
        ),
        ("one then two", "# one\n* then\n2) two more", ["Structure changed (blocks: 0 became 3)"]),
        ("alpha beta gamma", "gamma alpha beta", ["Structure changed (same words, another order)"]),
        ("alpha beta beta", "beta alpha alpha", ["Wording changed"]),
        ("The launch is delayed", "The launch succeeded", ["Content change (cut: delayed; added: succeeded)"]),
        ("something old", "", ["Content change (cut: something, old)"]),
        ("ab abc ab", "xy abc xyz with 9999x", ["Content change (added: xyz, 9999x)"]),
        (
            "a" * 41 + " one two three four",
            "b" * 40,
            [f"Content change (cut: {'a' * 40}, one, two, three; added: {'b' * 40})"],
        ),
        ("don’t stop", "do stop", ["Content change (cut: don’t)"]),
    ],
)
def test_each_rule_says_what_it_found(draft: str, final: str, said: list[str]) -> None:
    """In words, four of them at most and 40 characters of each, the weightiest rule first."""
    found = [each.description for each in classify(draft, final)]
    assert found[: len(said)] == said
    assert len(found) == len(said) or draft == "one then two"


@pytest.mark.parametrize(("spare", "said"), [(0, "Content change (added: end)"), (1, "Wording changed")])
def test_only_the_beginning_of_a_text_is_classified(spare: int, said: str) -> None:
    """The first 20,000 characters of either side; the distance sees all of it."""
    before, behind = "a" * (20_000 - 4 + spare), " end"
    assert classify(before, before + behind)[0].description == said
    assert classify(before + behind, before)[0].description == said.replace("added", "cut")


def test_an_analysis_without_a_classification_is_general() -> None:
    """What older versions stored may have none."""
    assert Analysis(Distance(0.0), "as-is", (), 0, 0).category == "GENERAL"


def test_several_rules_can_hold() -> None:
    """A correction of tone and content says both, in one summary, the weightier first."""
    found = analyse("Dear Sir, the report is late", "Hey, the invoice is late")
    assert [each.category for each in found.classifications] == ["TONE", "CONTENT"]
    assert found.category == "TONE"
    assert found.summary == (
        "Tone casualised (formality shift: -3); Content change (cut: dear, sir, report; added: hey, invoice)"
    )


def test_lines_added_and_removed_are_the_difference() -> None:
    """A text that grew by two lines added two and removed none, and the other way round."""
    grown, shrunk = analyse("a", "b\nc\nd"), analyse("b\nc\nd", "a")
    assert (grown.lines_added, grown.lines_removed) == (2, 0)
    assert (grown.severity, analyse("a", "a").severity) == ("discarded", "as-is")
    assert (shrunk.lines_added, shrunk.lines_removed) == (0, 2)


def test_words_are_quoted_from_redacted_texts_alone() -> None:
    """The distance sees the texts as they are; no description quotes what redaction takes away."""
    found = analyse("secret alpha", "public beta", "*** alpha", "public beta")
    assert "secret" not in found.summary
    assert found.distance == distance("secret alpha", "public beta")


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_two_texts_have_an_analysis(draft: str, final: str) -> None:
    """No text makes it fail, and the distance stays between 0 and 1."""
    found = analyse(draft, final)
    assert 0.0 <= found.distance.value <= 1.0
    assert found.category
