"""Change one entry of a YAML text and not one byte beside it.

`ruamel.yaml` reads it and gives the places of its nodes; nothing is written by it, for a file that a library writes
again loses its indentation, quotes and blank lines. Lines are spliced in and cut out instead. Anchors, merge keys and
tags on the way to an entry, several documents and duplicate keys are an UnsureError. Partners: `json_text`.
"""

from __future__ import annotations

import json
from typing import Any

from gradata.agents.model import ROOT, Made, Path, UnsureError, line_at, name_of, newline_of, whole


class YamlText:
    """A YAML text with the places of its nodes. UnsureError, naming file and line, if it is none."""

    def __init__(self, text: str, name: str) -> None:
        try:
            from ruamel.yaml import YAML
            from ruamel.yaml.error import MarkedYAMLError, YAMLError, YAMLStreamError
        except ImportError as error:
            raise UnsureError(f"{name}: no YAML library is installed", hint="pip install 'gradata[cli]'") from error
        self.text = text
        self.name = name
        try:
            yaml = YAML(typ="rt", pure=True)
            self._documents = list(yaml.compose_all(text))
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            where = f", line {mark.line + 1}" if mark is not None else ""
            raise UnsureError(f"{name}{where}: {error.problem}", hint="mend it, or add the entry yourself") from error
        except (YAMLError, YAMLStreamError, ValueError) as error:
            raise UnsureError(f"{name}: {error}", hint="mend it, or add the entry yourself") from error
        if len(self._documents) > 1:
            raise self._unsure(self._documents[1].start_mark.index, "it holds several documents")
        self.root = self._documents[0] if self._documents else None
        if self.root is not None and _kind(self.root) == "scalar" and not self.root.value:
            self.root = None
        self._shared: set[int] = set()
        self.tree: Any = {} if self.root is None else self._plain(self.root, set(), ())

    # ---------------------------------------------------------------- change

    def insert(self, place: tuple[str, ...], item: Any, *, in_list: bool) -> tuple[str, dict[str, str | None]]:
        """The text with `item` at the end of the list at `place`, or as that member; and what had to be made."""
        assert in_list, "no host with a YAML file takes anything but lists"
        if self.root is None:
            return self._begun(place, item)
        node: Any = self.root
        key_end = 0
        for depth, key in enumerate(place):
            self._touchable(node, place[:depth])
            if _kind(node) != "mapping":
                return self._fill(node, key_end, place[:depth], place[depth:], item)
            found = next((pair for pair in node.value if pair[0].value == key), None)
            if found is None:
                if not node.value:
                    return self._fill(node, key_end, place[:depth], place[depth:], item)
                if any(pair[0].value == "<<" for pair in node.value):
                    raise self._unsure(node.start_mark.index, f"{name_of(place[:depth]) or 'the file'} is merged (<<)")
                return self._add_key(node, place, depth, item)
            node, key_end = found[1], found[0].end_mark.index
        self._touchable(node, place)
        if _kind(node) != "sequence" or not node.value:
            return self._fill(node, key_end, place, (), item)
        if node.flow_style:
            last = node.value[-1].end_mark.index
            return self._spliced(last, last, f", {_flow(item)}"), {}
        return self._below(node.value[-1], _block(item, node.start_mark.column)), {}

    def remove(self, path: Path, made: Made) -> str | None:
        """The text without the entry at `path`, nor what it leaves empty; None: nothing was there before us."""
        path = whole(self.tree, path, made)
        chain: list[Any] = [self.root]
        starts = [0]
        for key in path:
            node = chain[-1]
            self._touchable(node, path[: len(chain) - 1])
            if _kind(node) == "mapping":
                pair = next(pair for pair in node.value if pair[0].value == key)
                starts.append(pair[0].start_mark.index)
                chain.append(pair[1])
            else:
                chain.append(node.value[int(key)])
                starts.append(chain[-1].start_mark.index)
        self._touchable(chain[-1], path)
        parent = chain[-2]
        if len(parent.value) == 1:
            if parent is self.root and ROOT in made:
                return made[ROOT]
            was = made.get(name_of(path[:-1]))
            if parent.flow_style or was:
                return self._spliced(parent.start_mark.index, parent.end_mark.index, was or "{}")
        if parent.flow_style:
            return self._cut_flow(parent, chain[-1], starts[-1])
        return self._cut_lines(starts[-1], chain[-1])

    def _begun(self, place: tuple[str, ...], item: Any) -> tuple[str, dict[str, str | None]]:
        newline = newline_of(self.text)
        text = newline.join(_nested(place, item, 0)) + newline
        before = self.text
        if before and not before.endswith("\n"):
            before += newline
        return before + text, {ROOT: self.text}

    def _add_key(self, node: Any, place: tuple[str, ...], depth: int, item: Any) -> tuple[str, dict[str, str | None]]:
        made: dict[str, str | None] = {name_of(place[: n + 1]): None for n in range(depth, len(place))}
        if node.flow_style:
            last = node.value[-1][1].end_mark.index
            return self._spliced(last, last, f", {_flow_nested(place[depth:], item)}"), made
        return self._below(node.value[-1][1], _nested(place[depth:], item, node.start_mark.column)), made

    def _fill(
        self, node: Any, key_end: int, here: tuple[str, ...], rest: tuple[str, ...], item: Any
    ) -> tuple[str, dict[str, str | None]]:
        """Where nothing is: `hooks:`, `hooks: ~`, `hooks: {}` or `hooks: []`."""
        start, end = node.start_mark.index, node.end_mark.index
        was = self.text[start:end]
        if _kind(node) == "scalar" and was not in ("", "~", "null"):
            raise self._unsure(start, f"{name_of(here)} is neither a list nor a mapping")
        if _kind(node) != "scalar" and (node.value or (_kind(node) == "sequence") != (not rest and node.flow_style)):
            raise self._unsure(start, f"{name_of(here)} is of another kind than it should be")
        if was:
            return self._spliced(start, end, "{" + _flow_nested(rest, item) + "}" if rest else f"[{_flow(item)}]"), {
                name_of(here): was
            }
        column = len(self._indent_at(key_end)) + 2
        lines = _nested(rest, item, column) if rest else _block(item, column)
        return self._after_line(key_end, lines), {name_of(here): ""}

    def _below(self, last: Any, lines: list[str]) -> str:
        """The lines behind the last line that a node's content is on."""
        leaf = last
        while _kind(leaf) != "scalar" and leaf.value and not leaf.flow_style:
            leaf = leaf.value[-1][1] if _kind(leaf) == "mapping" else leaf.value[-1]
        end = leaf.end_mark.index
        if _kind(leaf) == "scalar" and leaf.style in ("|", ">"):
            body = self.text[:end]
            if leaf.style and self.text[leaf.start_mark.index :].lstrip("|>0123456789")[:1] == "+":
                raise self._unsure(
                    leaf.start_mark.index, "a text that keeps its last blank lines stands before our place"
                )
            return self._after_line(len(body.rstrip()), lines)
        return self._after_line(end, lines)

    def _after_line(self, at: int, lines: list[str]) -> str:
        newline = newline_of(self.text)
        stop = self.text.find("\n", at)
        end = len(self.text) if stop < 0 else stop - (self.text[stop - 1] == "\r")
        return self._spliced(end, end, "".join(newline + line for line in lines))

    def _cut_lines(self, start: int, node: Any) -> str:
        """Without the whole lines from a key or a dash to the end of what belongs to it."""
        begin = self.text.rfind("\n", 0, start) + 1
        lead = self.text[begin:start]
        if lead.strip(" \t-") or lead.count("-") > 1:
            raise self._unsure(start, "it shares its line with something else")
        leaf = node
        while _kind(leaf) != "scalar" and leaf.value and not leaf.flow_style:
            leaf = leaf.value[-1][1] if _kind(leaf) == "mapping" else leaf.value[-1]
        end = leaf.end_mark.index
        if _kind(leaf) == "scalar" and leaf.style in ("|", ">"):
            end = len(self.text[:end].rstrip())
        stop = self.text.find("\n", end)
        if stop >= 0:
            return self._spliced(begin, stop + 1, "")
        cut = begin - 1 - (self.text[begin - 2 : begin - 1] == "\r") if begin else 0
        return self.text[: max(cut, 0)]

    def _cut_flow(self, parent: Any, node: Any, start: int) -> str:
        places = (
            [(pair[0].start_mark.index, pair[1].end_mark.index) for pair in parent.value]
            if _kind(parent) == "mapping"
            else [(each.start_mark.index, each.end_mark.index) for each in parent.value]
        )
        index = next(number for number, place in enumerate(places) if place[0] == start)
        if index:
            return self._spliced(places[index - 1][1], node.end_mark.index, "")
        return self._spliced(start, places[1][0], "")

    def _spliced(self, start: int, end: int, new: str) -> str:
        return self.text[:start] + new + self.text[end:]

    def _indent_at(self, at: int) -> str:
        line = self.text[self.text.rfind("\n", 0, at) + 1 : at]
        return line[: len(line) - len(line.lstrip(" "))]

    # ---------------------------------------------------------------- read

    def _plain(self, node: Any, above: set[int], path: Path) -> Any:
        if id(node) in above:
            raise self._unsure(node.start_mark.index, "it contains itself")
        if id(node) in self._shared or node.anchor:
            self._shared.add(id(node))
        if _kind(node) == "scalar":
            return None if node.style is None and node.value in ("", "~", "null") else node.value
        inner = above | {id(node)}
        if _kind(node) == "sequence":
            return [self._plain(each, inner, (*path, index)) for index, each in enumerate(node.value)]
        held: dict[str, Any] = {}
        for key, value in node.value:
            name = str(key.value) if _kind(key) == "scalar" else json.dumps(self._plain(key, inner, path))
            if name in held and name != "<<":
                raise self._unsure(key.start_mark.index, f"the key {json.dumps(name)} is there twice")
            held[name] = self._plain(value, inner, (*path, name))
        return held

    def _touchable(self, node: Any, path: Path) -> None:
        if id(node) in self._shared:
            raise self._unsure(
                node.start_mark.index, f"{name_of(path) or 'the file'} has an anchor (&{node.anchor}) or is an alias"
            )

    def _unsure(self, at: int, why: str) -> UnsureError:
        return UnsureError(
            f"{self.name}, line {line_at(self.text, at)}: {why}", hint="mend it, or add the entry yourself"
        )


def _kind(node: Any) -> str:
    return str(node.id)


def _scalar(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _block(item: Any, column: int) -> list[str]:
    """An item of a block list, its dash at this column."""
    pad = " " * column
    return [f"{pad}{'- ' if not n else '  '}{name}: {_scalar(value)}" for n, (name, value) in enumerate(item.items())]


def _nested(place: tuple[str, ...], item: Any, column: int) -> list[str]:
    keys = [f"{' ' * (column + 2 * depth)}{key}:" for depth, key in enumerate(place)]
    return keys + _block(item, column + 2 * len(place))


def _flow(item: Any) -> str:
    return "{" + ", ".join(f"{name}: {_scalar(value)}" for name, value in item.items()) + "}"


def _flow_nested(place: tuple[str, ...], item: Any) -> str:
    text = f"[{_flow(item)}]"
    for key in reversed(place[1:]):
        text = "{" + f"{key}: {text}" + "}"
    return f"{place[0]}: {text}"
