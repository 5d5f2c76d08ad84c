"""Install and uninstall: from the text of before to the text of after, and what changed.

Pure. Every result is read back and compared with what was meant: the same values as before, but for the entries. If
that fails, or the file holds what cannot be placed with certainty, nothing is changed (UnsureError).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gradata.agents.command import filled
from gradata.agents.json_text import JsonText
from gradata.agents.known import entries
from gradata.agents.model import ROOT, Agent, AgentFile, Edited, Entry, Hook, Made, Path, UnsureError
from gradata.agents.plugin_text import PluginText, plugin_text
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


def read(file: AgentFile, text: str | None) -> Parsed | PluginText:
    """The file, parsed. UnsureError, naming it and the line, if it is not what it should be."""
    if file.format == "plugin":
        return PluginText(text or "", file.path)
    return _parsed(file, text)


def _parsed(file: AgentFile, text: str | None) -> Parsed:
    return _READERS[file.format]((text or "").removeprefix(_BOM), file.path)


def install(
    agent: Agent,
    file: AgentFile,
    text: str | None,
    *,
    brain: str,
    program: Sequence[str],
    made: Made | None = None,
    is_gone: frozenset[str] = frozenset(),
    session_close: bool = False,
) -> Edited:
    """The file with our entries for `brain`, and without the older ones that sync or that capture what ours do.

    `text` None: there is no file. Entries of other brains stay, unless `is_gone` names their brain, and so does all
    else that an older version wrote. A cloud-sync entry that also graduated is replaced by our session-close;
    `session_close` writes one in any case.
    """
    if file.format == "plugin":
        return _install_plugin(agent, file, text, brain=brain, program=program, session_close=session_close)
    change = _Change(agent, file, text, dict(made or {}))

    def is_old(entry: Entry) -> bool:
        return _is_old(file, entry) and (_stops_host(file, entry) or _belongs(entry, brain, is_gone))

    graduation: dict[str, str] = {}
    for entry in entries(agent, change.parsed.tree):
        if is_old(entry) and entry.sync and file.hooks and _belongs(entry, brain, is_gone):
            graduation.setdefault(brain, entry.command)
    if not all(hook.in_list for hook in file.hooks):
        change.remove_all(is_old)  # its name is wanted
    wanted = [*file.hooks]
    close = file.session_close
    there = [entry for entry in entries(agent, change.parsed.tree) if entry.ours and entry.brain == brain]
    if close is not None and (session_close or graduation or any(each.kind == close.kind for each in there)):
        wanted.append(close)
    places = {(hook.kind, hook.place) for hook in wanted if hook.in_list}

    def is_stale(entry: Entry) -> bool:
        """Ours, where an earlier release wrote it."""
        misplaced = entry.kind != "mcp" and (entry.kind, place_of(entry)) not in places
        return entry.ours and entry.brain == brain and misplaced

    for hook in wanted:
        change.put(hook, filled(hook, program, agent.name, brain), brain)
    change.remove_all(is_old)  # behind, so that lists that held nothing else stay where they are
    change.remove_all(is_stale)
    left = tuple(entry for entry in entries(agent, change.parsed.tree) if not entry.ours)
    return change.done(left=left, graduation=graduation)


def uninstall(agent: Agent, file: AgentFile, text: str, *, brain: str, made: Made | None = None) -> Edited:
    """The file without this brain's entries: byte for byte as before they were installed, given `made`."""
    if file.format == "plugin":
        mine = [entry for entry in entries(agent, PluginText(text, file.path).tree) if entry.brain == brain]
        return Edited(None, {}, removed=tuple(mine)) if mine else Edited(text, {})
    change = _Change(agent, file, text, dict(made or {}))
    change.remove_all(lambda entry: entry.ours and (entry.brain == brain or _stops_host(file, entry)))
    return change.done()


def _install_plugin(
    agent: Agent, file: AgentFile, text: str | None, *, brain: str, program: Sequence[str], session_close: bool
) -> Edited:
    there = entries(agent, PluginText(text or "", file.path).tree)
    kinds = [hook.kind for hook in file.hooks]
    if session_close or any(entry.kind == "session-close" for entry in there):
        kinds.append("session-close")
    new = plugin_text(program, agent.name, brain, kinds)
    return Edited(new, {ROOT: None}, added=() if new == text else tuple(f"plugin.{kind}" for kind in kinds))


def _is_old(file: AgentFile, entry: Entry) -> bool:
    return _stops_host(file, entry) or (not entry.ours and (entry.sync or entry.captures))


def _stops_host(file: AgentFile, entry: Entry) -> bool:
    return file.keep_clear and entry.path[0] == "hooks"


def _belongs(entry: Entry, brain: str, is_gone: frozenset[str]) -> bool:
    return entry.brain is None or entry.brain == brain or entry.brain in is_gone


def place_of(entry: Entry) -> tuple[str, ...]:
    """The keys of the list that an entry stands in: a `Hook.place`."""
    keys = [key for key in entry.path if isinstance(key, str)]
    return tuple(keys[:-1] if keys[2:] == ["hooks"] else keys)


class _Change:
    """The steps of one edit, each read back."""

    def __init__(self, agent: Agent, file: AgentFile, text: str | None, made: dict[str, str | None]) -> None:
        self._agent = agent
        self._file = file
        self._mark = _BOM if (text or "").startswith(_BOM) else ""
        self.text: str | None = text if text is None else text.removeprefix(_BOM)
        self._is_file = text is not None
        self.parsed = _parsed(file, text if text is not None or not file.hooks else file.blank)
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
        raise UnsureError(f"{self._file.path}: more than {EDITS_MAX} entries", hint="look at it yourself")

    def put(self, hook: Hook, item: Any, brain: str) -> None:
        """Write one of our entries, unless it stands there already; one that differs is replaced."""

        def is_mine(entry: Entry) -> bool:
            same = not hook.in_list or place_of(entry) == hook.place
            return entry.ours and entry.brain == brain and entry.kind == hook.kind and same

        mine = [entry for entry in entries(self._agent, self.parsed.tree) if is_mine(entry)]
        if any(_same(self._around(entry.path, hook), item) for entry in mine):
            return
        if mine:
            self.remove_all(is_mine)
        before = _but_ours(self._agent, self.parsed.tree)
        place = hook.place if hook.in_list else self._free_name(hook.place)
        text, made = self.parsed.insert(place, item, in_list=hook.in_list)
        fresh = {key: value for key, value in made.items() if key not in self._made or self._made[key] is None}
        if not self._is_file and (ROOT in fresh or self._file.blank):
            fresh[ROOT] = None
        self._made |= fresh
        self._take(text)
        self._added.append(".".join(place))
        self._check(before)

    def done(self, **more: Any) -> Edited:
        """The result. A file that we began, and that holds nothing but what we began it with, is to go."""
        text = None if self.text is None else self._mark + self.text
        blank = self._file.blank
        if blank and self._made.get(ROOT, "") is None and self.parsed.tree == _parsed(self._file, blank).tree:
            text = None
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
        self.parsed = _parsed(self._file, text)

    def _check(self, before: Any) -> None:
        """Everything that is not gradata's means what it meant."""
        if _but_ours(self._agent, self.parsed.tree) != before:
            raise UnsureError(
                f"{self._file.path}: the change would alter other settings", hint="add the entry yourself"
            )


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
