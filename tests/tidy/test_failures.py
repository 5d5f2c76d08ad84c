"""The failure catalogue is complete and true: every number that a test names stands in docs/failures.md."""

from __future__ import annotations

from tests.tidy.failures import CATALOGUE, catalogued, files_by_number, with_tests

TEXT = CATALOGUE.read_text(encoding="utf-8")


def test_every_failure_that_a_test_names_is_in_the_catalogue() -> None:
    """`test_f33_…` means something to whoever reads it."""
    assert sorted(set(files_by_number()) - set(catalogued(TEXT))) == []


def test_numbers_are_used_once_and_without_a_gap() -> None:
    """A number names one failure; F35b belongs to F35."""
    rows = catalogued(TEXT)
    assert sorted(rows) == sorted(set(rows))
    numbers = [int(row[1:]) for row in rows if not row.endswith("b")]
    assert numbers == list(range(1, len(numbers) + 1))


def test_the_column_of_tests_is_what_the_names_say() -> None:
    """Mend with: python -m tests.tidy.generated."""
    assert with_tests(TEXT) == TEXT, "run: python -m tests.tidy.generated"


def test_a_failure_without_a_test_is_visible() -> None:
    """The column names no file for a number that no test has."""
    row = "| F999 | It fails. | It does not. | |"
    assert with_tests(row) == "| F999 | It fails. | It does not. | none yet |"
