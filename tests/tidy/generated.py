"""The parts of documents that are made from the code: `python -m tests.tidy.generated` writes them anew.

A part stands between `<!-- generated: NAME -->` and `<!-- /generated -->`. A test compares each with what it would be.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

from gradata.cli import build_parser
from gradata.cli.service_units import ServiceKind, ServiceTarget, service
from replicator.actions import Action, Outcome
from replicator.progress import OUTCOMES_OF
from replicator.progress.table import FAILURES
from tests.tidy import failures

ROOT = Path(__file__).parents[2]
_PART = re.compile(r"(?<=<!-- generated: )(?P<name>[\w.-]+)( -->\n)(?P<text>.*?)(?=<!-- /generated -->)", re.DOTALL)

EXAMPLE = ServiceTarget(
    "/home/you/.gradata/brain",
    "https://api.gradata.ai/api/v1",
    "/home/you/.gradata/key",
    ("/home/you/.local/bin/gradata",),
    "127.0.0.1:9464",
)
API = {
    "gradata": ("gradata/brain/brain.py", ("Brain",)),
    "replicator.loop": ("replicator/loop.py", ("Replicator", "Drained")),
    "replicator.sink": ("replicator/sink/http.py", ("Sink", "HttpSink")),
    "replicator.sink.delivery": ("replicator/sink/delivery.py", ("DeliverySink", "Delivery")),
    "replicator.recovery": (
        "replicator/recovery/letters.py",
        ("dead_letters", "retry_dead_letter", "drop_dead_letters"),
    ),
    "replicator.recovery.reset": ("replicator/recovery/reset.py", ("ResetPlan", "plan_reset", "order_reset")),
    "replicator.sidecar": ("replicator/sidecar/port.py", ("KeptDeadLetter",)),
    "replicator.log": ("replicator/log/appending.py", ("LogWriter", "Appended")),
    "replicator.model": ("replicator/model.py", ("Identity", "Policy", "Cursor", "DeadLetter")),
    "replicator.status": ("replicator/status.py", ("Status", "Shown", "Notice")),
    "replicator.errors": (
        "replicator/errors.py",
        ("ReplicatorError", "ConfigurationError", "LogError", "AppendError", "NotDurableError", "RecordRefusedError"),
    ),
}
"""What programs may rely on: by the name that they import it from, the file and the classes."""


LAYERED = ("replicator", "gradata", "gradata.cloud", "gradata.cloud.store", "replicator.progress")
"""The packages whose layers docs/architecture.md shows."""


def parts(text: str) -> dict[str, str]:
    """The generated parts of a document as they stand."""
    return {found["name"]: found["text"] for found in _PART.finditer(text)}


def made(name: str) -> str:
    """What a part would be now."""
    kind, _, which = name.partition(".")
    makers = {"service": _service, "api": _api, "options": _options, "decisions": _decisions, "layers": _layers}
    return makers[kind](which)


def _service(kind: str) -> str:
    kinds: dict[str, ServiceKind] = {"systemd": "systemd", "launchd": "launchd", "compose": "compose", "k8s": "k8s"}
    one = service(kinds[kind], EXAMPLE)
    language = {"systemd": "ini", "launchd": "xml"}.get(kind, "yaml")
    commands = "\n".join(one.commands)
    return f"Save as `{one.path}`:\n\n```{language}\n{one.text}```\n\n```sh\n{commands}\n```\n"


def layers(container: str) -> list[list[str]]:
    """The layers of a package by import-linter's contract, lowest first; each is one or more modules."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for contract in document["tool"]["importlinter"]["contracts"]:
        if contract.get("containers") == [container]:
            return [re.split(r" [|:] ", layer) for layer in reversed(contract["layers"])]
    raise LookupError(f"pyproject.toml has no contract on the layers of {container}")


def _layers(_: str) -> str:
    lines = ["| package | layers, lowest first |", "|---|---|"]
    for container in LAYERED:
        said = " < ".join(", ".join(f"`{name}`" for name in layer) for layer in layers(container))
        lines.append(f"| `{container}` | {said} |")
    return "\n".join([*lines, ""])


def _decisions(which: str) -> str:
    if which == "outcomes":
        rows = _rows_of_outcomes()
        lines = [f"| `{kind.__name__}` | {_first_sentence(kind)} | `{rows[kind.__name__]}` |" for kind in rows_order()]
        return "\n".join(["| outcome | what it is | its row |", "|---|---|---|", *lines, ""])
    lines = [f"| `{action.__name__}` | {_first_sentence(action)} | {_of_action(action)} |" for action in OUTCOMES_OF]
    return "\n".join(["| action | what it does | outcomes |", "|---|---|---|", *lines, ""])


def _of_action(action: type[Action]) -> str:
    names = [f"`{outcome.__name__}`" for outcome in OUTCOMES_OF[action] if outcome not in FAILURES]
    return ", ".join([*names, *(["a failure"] if FAILURES[0] in OUTCOMES_OF[action] else [])])


def rows_order() -> list[type[Outcome]]:
    """Each outcome once, in the order of the table, the failures last."""
    named = [outcome for outcomes in OUTCOMES_OF.values() for outcome in outcomes if outcome not in FAILURES]
    return list(dict.fromkeys([*named, *FAILURES]))


def _rows_of_outcomes() -> dict[str, str]:
    """For each outcome the function that the table's `match` calls."""
    found = {}
    tree = ast.parse((ROOT / "replicator/progress/table.py").read_text(encoding="utf-8"))
    for case in (node for node in ast.walk(tree) if isinstance(node, ast.match_case)):
        if isinstance(case.pattern, ast.MatchClass):
            returned = case.body[-1]
            assert isinstance(returned, ast.Return)
            assert isinstance(returned.value, ast.Call)
            name = ast.unparse(returned.value.func)
            found[ast.unparse(case.pattern.cls).removeprefix("act.")] = "table" if name == "replace" else name
    return found


def _first_sentence(kind: type) -> str:
    first = inspect.cleandoc(kind.__doc__ or "").replace("\n", " ").split(". ")[0].removesuffix(".")
    return first.replace("|", "\\|")


def _options(_: str) -> str:
    return "\n".join(_of_command(name, parser) for name, parser in _leaves(build_parser(), "gradata"))


def _leaves(parser: argparse.ArgumentParser, name: str) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    parts = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not parts:
        yield name, parser
    for action in parts:
        for word, inner in action.choices.items():
            yield from _leaves(inner, f"{name} {word}")


def _of_command(name: str, parser: argparse.ArgumentParser) -> str:
    lines = [f"### {name}", "", parser.description or "", "", "| option | what it does |", "|---|---|"]
    for action in parser._actions:
        if not isinstance(action, argparse._HelpAction):
            said = (action.help or "").replace("|", "\\|").replace("%%", "%")
            lines.append(f"| `{_shown(action)}` | {said} |")
    return "\n".join([*lines, "", *([parser.epilog, ""] if parser.epilog else [])])


def _shown(action: argparse.Action) -> str:
    names = ", ".join(action.option_strings) or action.metavar or action.dest
    choices = "\\|".join(map(str, action.choices)) if action.choices is not None else ""
    if not action.option_strings:
        return choices or str(names)
    takes = action.nargs != 0
    value = choices or action.metavar or action.dest.upper()
    return f"{names} {value}" if takes else str(names)


def _api(module: str) -> str:
    path, names = API[module]
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    found = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    return "\n".join(_of_public(found[name], module) for name in names)


def _of_public(node: ast.ClassDef | ast.FunctionDef, module: str) -> str:
    if isinstance(node, ast.ClassDef):
        return _of_class(node, module)
    return "\n".join([f"### {module}.{node.name}", "", *_of_function(node)])


def _of_class(node: ast.ClassDef, module: str) -> str:
    lines = [f"### {module}.{node.name}", "", _text(node), ""]
    fields = [line for line in map(_of_field, node.body) if line]
    if fields and any(isinstance(one, ast.Call) and "dataclass" in ast.unparse(one) for one in node.decorator_list):
        lines += ["```text", *fields, "```", ""]
    for part in node.body:
        if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef) and (
            part.name == "__init__" or not part.name.startswith("_")
        ):
            lines += _of_function(part)
    return "\n".join(lines)


def _of_field(node: ast.stmt) -> str:
    if not isinstance(node, ast.AnnAssign) or ast.unparse(node.target).startswith("_"):
        return ""
    return _in_our_quotes(ast.unparse(node))


def _of_function(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    arguments = ast.unparse(node.args).removeprefix("self").removeprefix("cls").lstrip(", ")
    name = "" if node.name == "__init__" else node.name
    returns = ast.unparse(node.returns) if node.returns is not None and name else ""
    shown = f"{name}({arguments})" + (f" -> {returns}" if returns else "")
    if "property" in {ast.unparse(one) for one in node.decorator_list}:
        shown = f"{name}: {returns}"
    if isinstance(node, ast.AsyncFunctionDef):
        shown = f"await {shown}"
    said = _text(node)
    return [f"- `{_in_our_quotes(shown)}`" + (f": {_indented(said)}" if said else ""), ""]


def _in_our_quotes(code: str) -> str:
    return code if '"' in code else code.replace("'", '"')


def _text(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    return inspect.cleandoc(ast.get_docstring(node) or "")


def _indented(text: str) -> str:
    return text.replace("\n", "\n  ").replace("\n  \n", "\n\n")


def renewed(text: str, make: Callable[[str], str] = made) -> str:
    """The document with each part as it would be now."""
    return _PART.sub(lambda found: f"{found['name']} -->\n{make(found['name'])}", text)


def documents() -> list[Path]:
    """All documents that have generated parts."""
    paths = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    return [path for path in paths if parts(path.read_text(encoding="utf-8"))]


if __name__ == "__main__":
    for document in documents():
        document.write_text(renewed(document.read_text(encoding="utf-8")), encoding="utf-8")
    failures.CATALOGUE.write_text(failures.with_tests(failures.CATALOGUE.read_text(encoding="utf-8")), encoding="utf-8")
