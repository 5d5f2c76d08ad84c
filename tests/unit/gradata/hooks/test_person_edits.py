"""What is a person's correction, and what is left out: values alone."""

from __future__ import annotations

import pytest

from gradata.hooks.host_call import Edit, FileWrite
from gradata.hooks.person_edits import (
    FileChange,
    WrittenFile,
    after_other_tool,
    after_write,
    applied,
    decide,
    digest_of,
    lines_of,
    regions,
    undone,
)

BEFORE = "Dear all,\nWe are pleased.\nBye\n"
AFTER = "Dear all,\nWe shipped it.\nBye\n"


def written(text: str = AFTER, *mine: int, path: str = "/w/note.txt") -> WrittenFile:
    """A file of which the agent wrote the lines `mine` (default: the second)."""
    lines = mine or (1,)
    return WrittenFile(path, text, tuple(n in lines for n in range(len(lines_of(text)))), (digest_of(BEFORE),))


def changed(text: str, known: WrittenFile | None = None, at: float = 100.0, *, head_moved: bool = False) -> FileChange:
    """The file holds something else."""
    return FileChange(known or written(), text, at, head_moved)


def test_a_change_of_the_agents_line_is_a_correction() -> None:
    """The draft is the agent's text of that place, the final the person's."""
    (verdict,) = decide([changed(AFTER.replace("shipped it", "shipped it today"))])
    assert verdict.corrections == (Edit("We shipped it.", "We shipped it today."),)
    assert verdict.left_out == ()


def test_the_same_change_is_a_correction_once() -> None:
    """What was decided is remembered with the file."""
    change = changed(AFTER.replace("it", "it today"))
    (first,) = decide([change])
    (second,) = decide([changed(change.text, first.written)])
    assert second.corrections == ()


def test_a_change_elsewhere_corrects_nothing() -> None:
    """A person may edit what the agent did not write."""
    (verdict,) = decide([changed(AFTER.replace("Bye", "Bye bye"))])
    assert (verdict.corrections, verdict.left_out) == ((), ())


def test_neighbouring_lines_of_the_person_are_not_the_agents() -> None:
    """Where each line became one, only the agent's is a draft."""
    (verdict,) = decide([changed("Dear all,\nWe shipped it today.\nBye bye\n")])
    assert verdict.corrections == (Edit("We shipped it.", "We shipped it today."),)


@pytest.mark.parametrize(
    ("text", "edit"),
    [
        ("one\ntwo\nadded\nthree\n", Edit("two\nthree", "two\nadded\nthree")),
        ("one\ntwo\nthree\nadded\n", Edit("three", "three\nadded")),
        ("one\nthree\n", Edit("two", "")),
        ("ONE one\ntwo\nTHREE three\n", Edit("one\ntwo\nthree", "ONE one\ntwo\nTHREE three")),
    ],
)
def test_added_and_removed_lines_are_shown_with_the_agents(text: str, edit: Edit) -> None:
    """An added line stands between its neighbours; places that are near are one correction."""
    (verdict,) = decide([changed(text, written("one\ntwo\nthree\n", 0, 1, 2))])
    assert verdict.corrections == (edit,)


def test_a_line_added_after_the_agents_part_corrects_nothing() -> None:
    """It stands between the agent's line and somebody else's."""
    (verdict,) = decide([changed("Dear all,\nWe shipped it.\nMore\nBye\n")])
    assert verdict.corrections == ()


def test_f119_many_files_at_once_are_no_persons() -> None:
    """A formatter, a checkout, a bulk replacement; the same changes apart in time are a person's."""
    files = [written(path=f"/w/{n}.txt") for n in range(3)]
    text = AFTER.replace("it", "it today")
    together = decide([changed(text, file, 100.0 + n / 2) for n, file in enumerate(files)])
    assert [verdict.left_out for verdict in together] == [("many_files",)] * 3
    assert not any(verdict.corrections for verdict in together)
    apart = decide([changed(text, file, 100.0 + 60 * n) for n, file in enumerate(files)])
    assert all(verdict.corrections for verdict in apart)


def test_what_a_checkout_brought_is_not_compared_again() -> None:
    """A person's edit after it is compared with what it left, not with what the agent wrote."""
    text = AFTER.replace("it", "it long ago")
    (left,) = decide([changed(text, head_moved=True)])
    assert left.left_out == ("version_control",)
    (after,) = decide([changed(text.replace("long ago", "yesterday"), left.written)])
    assert after.corrections == ()


def test_f119_what_was_before_the_agent_is_a_revert() -> None:
    """`git checkout FILE`, or an undo."""
    (verdict,) = decide([changed(BEFORE)])
    assert (verdict.corrections, verdict.left_out) == ((), ("reverted",))


def test_a_whole_file_without_a_common_region_is_no_persons() -> None:
    """Nothing of the agent's text is left."""
    (short,) = decide([changed("completely different\n")])
    assert short.left_out == ("whole_file",)
    long = "".join(f"line number {n} of the file\n" for n in range(200))
    other = "".join(f"another thing {n} stands here\n" for n in range(200))
    (verdict,) = decide([changed(other, written(long, *range(200)))])
    assert verdict.left_out == ("whole_file",)


@pytest.mark.parametrize(
    ("mine", "now"),
    [
        ("We shipped it.", "Shipped on Friday."),
        ("我们很高兴地通知您，产品已经发布。", "我们高兴地告诉您，产品已经发布。"),
        ("hi", "ho"),
        ("def f(x):\n    return x", "def f(x, y):\n    return x + y"),
    ],
)
def test_a_small_file_that_was_rewritten_has_a_common_region(mine: str, now: str) -> None:
    """In any language."""
    (verdict,) = decide([changed(now + "\n", written(mine + "\n", 0, 1))])
    assert verdict.corrections == (Edit(mine, now),)


@pytest.mark.parametrize(
    ("path", "mine", "now"),
    [
        ("/w/a.py", "x = f('a', 1)", 'x = f("a", 1)'),
        ("/w/a.py", "x = f(a, b)", "x = f(\n    a,\n    b,\n)"),
        ("/w/a.js", "let x = 1", "let x = 1;"),
        ("/w/a.txt", "one  two", "one two"),
    ],
)
def test_formatting_is_no_persons(path: str, mine: str, now: str) -> None:
    """White space; in code also kinds of quotes and separators at an end."""
    (verdict,) = decide([changed(f"head of it\n{now}\n", written(f"head of it\n{mine}\n", path=path))])
    assert (verdict.corrections, verdict.left_out) == ((), ("formatting",))


def test_a_comma_in_prose_is_a_persons() -> None:
    """Only in code is a separator at an end a formatter's."""
    (verdict,) = decide([changed("head of it\nin short,\n", written("head of it\nin short\n"))])
    assert verdict.corrections == (Edit("in short", "in short,"),)


def test_a_persons_edit_beside_formatting_is_found() -> None:
    """Format on save."""
    known = written("x = f('a')\nkeep = 1\nsame = 2\ny = g('b')\n", 0, 1, 2, 3, path="/w/a.py")
    (verdict,) = decide([changed('x = f("a")\nkeep = 1\nsame = 2\ny = g("c")\n', known)])
    assert verdict.corrections == (Edit("y = g('b')", 'y = g("c")'),)
    assert verdict.left_out == ("formatting",)


def test_the_agents_lines_are_those_that_its_tool_changed() -> None:
    """From what the file held before and after."""
    known = WrittenFile("/w/a", "", ())
    after = after_write(known, BEFORE, AFTER, FileWrite("/w/a", (Edit("We are pleased.", "We shipped it."),)))
    assert after.owned == (False, True, False)
    again = after_write(after, AFTER, AFTER + "PS\n", FileWrite("/w/a"))
    assert again.owned == (False, True, False, True)


def test_what_a_person_changed_before_the_next_write_is_the_persons() -> None:
    """The agent's line that the person rewrote is not the agent's any more."""
    by_person = AFTER.replace("it", "it today")
    after = after_write(written(), by_person, by_person.replace("Bye", "Cheers"), FileWrite("/w/note.txt"))
    assert after.owned == (False, False, True)


def test_without_the_file_before_the_agents_lines_are_those_that_hold_its_text() -> None:
    """Hosts that say only what was replaced."""
    known = WrittenFile("/w/a", "", ())
    once = after_write(known, None, "a\nb x\nc\nb x\n", FileWrite("/w/a", (Edit("q", "b x\nc"),)))
    assert once.owned == (False, True, True, False)
    everywhere = after_write(known, None, "a\nb x\nc\nb x\n", FileWrite("/w/a", (Edit("q", "b x", everywhere=True),)))
    assert everywhere.owned == (False, True, False, True)
    whole = after_write(known, None, "a\nb\n", FileWrite("/w/a", content="a\nb\n"))
    assert whole.owned == (True, True)


def test_a_shell_changes_no_ownership() -> None:
    """What it changed of the agent's lines stays the agent's; the rest stays the rest."""
    after = after_other_tool(written(), "Dear all,\nWe shipped it!\nBye\nPS\n")
    assert after.owned == (False, True, False, False)
    assert after.text == "Dear all,\nWe shipped it!\nBye\nPS\n"


def test_what_a_call_makes_of_a_file_can_be_told_and_undone() -> None:
    """Where each text stands once; else nobody can say."""
    write = FileWrite("/w/a", (Edit("pleased", "proud"), Edit("Bye", "Cheers")))
    after = applied(BEFORE, write)
    assert after == "Dear all,\nWe are proud.\nCheers\n"
    assert undone(after, write) == BEFORE
    assert applied("a a", FileWrite("/w/a", (Edit("a", "b"),))) is None
    assert applied("a a", FileWrite("/w/a", (Edit("a", "b", everywhere=True),))) == "b b"
    assert applied(BEFORE, FileWrite("/w/a", content="x")) == "x"
    assert undone("x", FileWrite("/w/a", content="x")) is None


def test_a_proposal_that_a_person_changed_is_given_whole_or_by_places() -> None:
    """Short texts as they are, long ones by what changed."""
    assert regions("a b", "a c") == (Edit("a b", "a c"),)
    assert regions("same", "same") == ()
    assert regions(" \n", "x") == ()
    long = "".join(f"line {n}\n" for n in range(1_000))
    assert regions(long, long.replace("line 500\n", "line five hundred\n")) == (Edit("line 500", "line five hundred"),)
