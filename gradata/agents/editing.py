"""Install and uninstall: from the text of before to the text of after, and what changed.

Pure. Every result is read back and compared with what was meant: the same values as before, but for the entries. If
that fails, or the file holds what cannot be placed with certainty, nothing is changed (UnsureError).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gradata.agents.hosts import filled
from gradata.agents.json_text import JsonText
from gradata.agents.known import entries
from gradata.agents.model import ROOT, Agent, Edited, Entry, Hook, Made, Path, UnsureError
from gradata.agents.toml_text import TomlText
from gradata.agents.yaml_text import YamlText

Parsed = JsonText | YamlText | TomlText
_READERS: Mapping[str, type[JsonText] | type[YamlText] | type[TomlText]] = {
    "json": JsonText,
    "yaml": YamlText,
    "toml": TomlText,
}
_BOM = "\ufeff"
EDITS_MAX = 1_000


def read(agent: Agent, text: str | None, name: str) -> Parsed:
    """The file, parsed with places. UnsureError if it is not what it should be."""
    return _READERS[agent.format]((text or "").removeprefix(_BOM), name)


def install(
    agent: Agent,
    text: str | None,
    *,
    brain: str,
    program: Sequence[str],
    name: str,
    made: Made | None = None,
    is_gone: frozenset[str] = frozenset(),
    session_close: bool = False,
) -> Edited:
    """The file with our entries for `brain`, and without the older ones of it. `text` None: there is no file.

    Older entries of other brains stay, unless `is_gone` names their brain. A cloud-sync entry that also graduated is
    replaced by our session-close; `session_close` writes one in any case.
    """
    change = _Change(agent, text, name, dict(made or {}))
    graduation: dict[str, str] = {}
    for entry in entries(agent, change.parsed.tree):
        if not entry.ours and entry.sync and _belongs(entry, brain, is_gone):
            graduation.setdefault(brain, entry.command)

    def is_old(entry: Entry) -> bool:
        return not entry.ours and _belongs(entry, brain, is_gone)

    if not all(hook.in_list for hook in agent.hooks):
        change.remove_all(is_old)  # its name is wanted
    wanted = [*agent.hooks]
    close = agent.session_close
    there = [entry for entry in entries(agent, change.parsed.tree) if entry.ours and entry.brain == brain]
    if close is not None and (session_close or graduation or any(each.kind == close.kind for each in there)):
        wanted.append(close)
    for hook in wanted:
        change.put(hook, filled(hook, program, agent.name, brain), brain)
    change.remove_all(is_old)  # behind, so that lists that held nothing else stay where they are
    left = tuple(entry for entry in entries(agent, change.parsed.tree) if not entry.ours)
    return change.done(left=left, graduation=graduation)


def uninstall(agent: Agent, text: str, *, brain: str, name: str, made: Made | None = None) -> Edited:
    """The file without this brain's entries: byte for byte as before they were installed, given `made`."""
    change = _Change(agent, text, name, dict(made or {}))
    change.remove_all(lambda entry: entry.ours and entry.brain == brain)
    return change.done()


def _belongs(entry: Entry, brain: str, is_gone: frozenset[str]) -> bool:
    return entry.brain is None or entry.brain == brain or entry.brain in is_gone


class _Change:
    """The steps of one edit, each read back."""

    def __init__(self, agent: Agent, text: str | None, name: str, made: dict[str, str | None]) -> None:
        self._agent = agent
        self._name = name
        self._mark = _BOM if (text or "").startswith(_BOM) else ""
        self.text: str | None = text if text is None else text.removeprefix(_BOM)
        self._is_file = text is not None
        self.parsed = read(agent, text, name)
        self._made = made
        self._added: list[str] = []
        self._removed: list[Entry] = []

    def remove_all(self, chosen: Callable[[Entry], bool]) -> None:
        """Take out the entries that are chosen, the last first, so that the others' places hold."""
        for _ in range(EDITS_MAX):
            found = [entry for entry in entries(self._agent, self.parsed.tree) if chosen(entry)]
            if not found:
                return
            entry = found[-1]
            before = _but_ours(self._agent, self.parsed.tree)
            self._take(self.parsed.remove(entry.path, self._made))
            self._removed.insert(0, entry)
            self._check(before)
        raise UnsureError(f"{self._name}: more than {EDITS_MAX} entries", hint="look at it yourself")

    def put(self, hook: Hook, item: Any, brain: str) -> None:
        """Write one of our entries, unless it stands there already; one that differs is replaced."""
        mine = [
            entry
            for entry in entries(self._agent, self.parsed.tree)
            if entry.ours and entry.brain == brain and entry.kind == hook.kind
        ]
        if any(_same(self._around(entry.path, hook), item) for entry in mine):
            return
        if mine:
            self.remove_all(lambda entry: entry.ours and entry.brain == brain and entry.kind == hook.kind)
        before = _but_ours(self._agent, self.parsed.tree)
        place = hook.place if hook.in_list else self._free_name(hook.place)
        text, made = self.parsed.insert(place, item, in_list=hook.in_list)
        fresh = {key: value for key, value in made.items() if key not in self._made or self._made[key] is None}
        if not self._is_file and ROOT in fresh:
            fresh[ROOT] = None
        self._made |= fresh
        self._take(text)
        self._added.append(".".join(place))
        self._check(before)

    def done(self, **more: Any) -> Edited:
        """The result."""
        text = None if self.text is None else self._mark + self.text
        return Edited(text, self._made, tuple(self._added), tuple(self._removed), **more)

    def _around(self, path: Path, hook: Hook) -> Any:
        """The whole item that an entry is in: one behind the list's place."""
        node: Any = self.parsed.tree
        for key in path[: len(hook.place) + (1 if hook.in_list else 0)]:
            node = node[key]
        return node

    def _free_name(self, place: tuple[str, ...]) -> tuple[str, ...]:
        inner: Any = self.parsed.tree
        for key in place[:-1]:
            inner = inner.get(key, {}) if isinstance(inner, Mapping) else {}
        number, name = 1, place[-1]
        while isinstance(inner, Mapping) and name in inner:
            number += 1
            name = f"{place[-1]}-{number}"
        return (*place[:-1], name)

    def _take(self, text: str | None) -> None:
        self.text = text
        self.parsed = read(self._agent, text, self._name)

    def _check(self, before: Any) -> None:
        """Everything that is not gradata's means what it meant."""
        if _but_ours(self._agent, self.parsed.tree) != before:
            raise UnsureError(f"{self._name}: the change would alter other settings", hint="add the entry yourself")


def _same(held: Any, item: Any) -> bool:
    """Whether an item stands there as we would write it; YAML's values are compared as text."""
    if isinstance(item, Mapping):
        return isinstance(held, Mapping) and set(held) == set(item) and all(_same(held[k], item[k]) for k in item)
    if isinstance(item, list):
        return isinstance(held, list) and len(held) == len(item) and all(map(_same, held, item))
    return str(held) == str(item)


def _but_ours(agent: Agent, tree: Any) -> str:
    """The tree without gradata's entries and without what they leave empty, as text that can be compared."""
    skip = {entry.path for entry in entries(agent, tree)}

    def pruned(node: Any, path: Path) -> Any:
        if path in skip:
            return None
        if isinstance(node, Mapping):
            inner = {str(key): pruned(value, (*path, str(key))) for key, value in node.items()}
            kept = {key: value for key, value in inner.items() if value not in (None, "", [], {})}
            return None if not kept or (set(kept) <= {"matcher", "description"} and "hooks" in node) else kept
        if isinstance(node, list | tuple):
            items = [pruned(value, (*path, index)) for index, value in enumerate(node)]
            return [value for value in items if value is not None] or None
        return node if isinstance(node, str | None) else repr(node)

    return repr(pruned(tree, ()))
