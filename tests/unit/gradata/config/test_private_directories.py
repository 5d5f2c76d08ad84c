"""Directories of this user alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gradata.config.private_directories import make_private, writable_by_others


def test_f84_directories_on_the_way_are_private_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the umask; what is there keeps its mode; a relative path is one, too."""
    (tmp_path / "there").mkdir(mode=0o755)
    monkeypatch.chdir(tmp_path)
    before = os.umask(0)
    try:
        for _ in range(2):
            make_private("there/a/b")
            make_private(str(tmp_path / "c" / "d"))
    finally:
        os.umask(before)
    modes = {name: (tmp_path / name).stat().st_mode & 0o777 for name in ("there", "there/a", "there/a/b", "c", "c/d")}
    assert modes == {"there": 0o755, "there/a": 0o700, "there/a/b": 0o700, "c": 0o700, "c/d": 0o700}


def test_a_file_in_the_place_of_a_directory_is_an_error(tmp_path: Path) -> None:
    """As `os.makedirs` says it."""
    (tmp_path / "file").touch()
    for path in ("file", "file/below"):
        with pytest.raises(NotADirectoryError):
            make_private(str(tmp_path / path))


def test_f84_what_others_may_write_is_named(tmp_path: Path) -> None:
    """The first on the way down; a link, and what is not there, are nobody's to believe."""
    make_private(str(tmp_path / ".gradata" / "hooks"))
    file = tmp_path / ".gradata" / "hooks" / "a.json"
    assert writable_by_others(str(tmp_path), str(file)) == str(file)
    file.touch(mode=0o600)
    assert writable_by_others(str(tmp_path), str(file)) is None
    file.parent.chmod(0o770)
    assert writable_by_others(str(tmp_path), str(file)) == str(file.parent)
    file.parent.chmod(0o700)
    file.unlink()
    file.symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").touch(mode=0o600)
    assert writable_by_others(str(tmp_path), str(file)) == str(file)
