"""The project's rules, as tests: what a reviewer would say each time, said once."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("replicator", "gradata")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
PROGRAMS = sorted((ROOT / "benchmarks").glob("*.py"))

MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
PARAMETERS_MAX = 6
PARAMETERS_OF_OTHERS = {
    "gradata/brain/brain.py:correct": "the signature of the published SDK",
    "gradata/brain/brain.py:emit": "the signature of the published SDK",
}
_FILLERS = (
    "a all an and any are as at be by do doe each error every for from has hav here i if in is it its now of on one"
    " or part that the their them there they thi this to wa was what when which whether with"
)
SAY_NOTHING = frozenset(_FILLERS.split())
"""Stems of words that add nothing to a name."""
BROAD_HANDLERS = {
    "replicator/loop.py": 1,  # the thread's last line of defence
    "replicator/saved_state.py": 1,  # what records a crash must not be the next one
    "replicator/sink/carrier.py": 1,  # raised again on the caller's thread, which waits for it
    "gradata/hooks/program.py": 1,  # a hook that fails would stop the agent whose host runs it
    "gradata/cloud/service/background.py": 1,  # a task that died would be missed by nobody
    "gradata/cloud/service/retention_task.py": 1,  # as above
    "gradata/cloud/service/group_commit.py": 1,  # the thread must live, and a group's other requests pass
}


def name_of(path: Path) -> str:
    """The path as the tables above spell it."""
    return path.relative_to(ROOT).as_posix()


def functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """All functions and methods of a module, nested ones too."""
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def run(*command: str) -> None:
    """Run a checker of this environment; its output is the failure's text."""
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_linter_finds_nothing() -> None:
    """Ruff's rules hold everywhere."""
    run("ruff", "check", "--no-cache", ".")


def test_the_code_is_formatted() -> None:
    """One form, not discussed."""
    run("ruff", "format", "--check", "--no-cache", ".")


@pytest.mark.timeout(300)
def test_the_types_hold() -> None:
    """Mypy in its strict mode finds nothing in the two packages."""
    run("mypy", "--no-incremental")


def test_the_layers_hold() -> None:
    """Import-linter's contracts are the layers of the design: nothing imports upward, the pure core does no I/O."""
    code = "from importlinter.cli import lint_imports; import sys; sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 broken" in done.stdout


@pytest.mark.parametrize("path", [*SOURCES, *TESTS, *PROGRAMS], ids=name_of)
def test_each_module_says_why_it_exists(path: Path) -> None:
    """A module opens with a docstring; an empty file is no module."""
    text = path.read_text(encoding="utf-8")
    assert not text.strip() or ast.get_docstring(ast.parse(text)), f"{name_of(path)} has no docstring"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_modules_and_functions_are_short(path: Path) -> None:
    """Below the limits of lines and parameters, but for signatures that others set."""
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= MODULE_LINES_MAX
    for function in functions(ast.parse(text)):
        where = f"{name_of(path)}:{function.name}"
        assert (function.end_lineno or 0) - function.lineno <= FUNCTION_LINES_MAX, where
        positional = [a for a in [*function.args.posonlyargs, *function.args.args] if a.arg not in ("self", "cls")]
        assert len(positional) <= PARAMETERS_MAX or where in PARAMETERS_OF_OTHERS, where


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_public_things_state_their_contract(path: Path) -> None:
    """Public classes and functions have a docstring; the parts of a command are described once, in `gradata.cli`."""
    of_a_command = ("Options", "add_parser", "run") if path.parent.name == "cli" else ("of no command",)
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
            where = f"{name_of(path)}:{node.name}"
            assert ast.get_docstring(node) or node.name.endswith(of_a_command), f"{where} has no docstring"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_no_docstring_only_repeats_the_name(path: Path) -> None:
    """ "Do it.", "The error.", or the words of the name again: such a line is left out, or says what is promised."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            said = ast.get_docstring(node)
            where = f"{name_of(path)}:{node.name}"
            assert said is None or "\n" in said or stems(said) - stems(node.name), f"{where}: {said}"


def stems(text: str) -> set[str]:
    """The words that carry meaning, without their endings: of a sentence, or of a name in either case."""
    apart = re.sub(r"([a-z])([A-Z])", r"\1 \2", text).lower()
    return {re.sub(r"(ies|es|s|ing|ed|er|or)$", "", word) for word in re.findall(r"[a-z]+", apart)} - SAY_NOTHING


def test_broad_handlers_stand_where_they_must() -> None:
    """`except Exception` is a thread's last line of defence and nothing else."""
    found: dict[str, int] = {}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler) and (
                node.type is None or ast.unparse(node.type) in ("Exception", "BaseException")
            ):
                reraises = any(isinstance(inner, ast.Raise) and inner.exc is None for inner in ast.walk(node))
                if not reraises:
                    found[name_of(path)] = found.get(name_of(path), 0) + 1
    assert found == BROAD_HANDLERS


@pytest.mark.parametrize("path", [p for p in TESTS if p.name.startswith("test_")], ids=name_of)
def test_each_test_says_what_it_proves(path: Path) -> None:
    """Every test function has a docstring."""
    for function in functions(ast.parse(path.read_text(encoding="utf-8"))):
        if function.name.startswith("test_"):
            assert ast.get_docstring(function), f"{name_of(path)}:{function.name} has no docstring"


def test_nothing_in_the_repository_names_a_machine() -> None:
    """No path of a machine, no address of a package registry, no unfinished business in tracked files."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if tracked.returncode:
        pytest.fail("this test needs the git checkout that it checks")
    marks = ["/" + "root/", "/" + "work/", "pypi" + ".org", "registry" + ".npmjs", "TO" + "DO", "FIX" + "ME"]
    pattern = re.compile("|".join(re.escape(mark) for mark in marks))
    for name in tracked.stdout.decode().split("\0"):
        if name.endswith((".py", ".md", ".toml", ".txt", ".sql", ".json", ".yml", ".sh")) and (ROOT / name).exists():
            found = pattern.search((ROOT / name).read_text(encoding="utf-8", errors="replace"))
            assert not found, f"{name}: {found and found.group()}"
