"""Change one entry of a JSON text and not one byte beside it.

`json` gives the values; this gives their places, so that an entry is spliced in or cut out and nothing is written
again. Comments and trailing commas, which several hosts allow, are stepped over. Whatever it cannot place exactly
(a duplicate key, a value of another kind than expected) is an UnsureError. Partners: `yaml_text`, `toml_text`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from json.decoder import JSONDecodeError, scanstring  # type: ignore[attr-defined]
from typing import Any

from gradata.agents.model import ROOT, Made, Path, PathKey, UnsureError, line_at, name_of, newline_of, whole

DEPTH_MAX = 200
_GAP = re.compile(r"(?:[ \t\r\n]+|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_SCALAR = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?|true|false|null|NaN|-?Infinity")


@dataclass(slots=True)
class Node:
    """One value and its place; `start` of a member is that of its key. `children` in the order of the text."""

    start: int
    end: int
    value_start: int
    value: Any = None
    children: list[Node] = field(default_factory=list)
    key: PathKey | None = None
    trailing_comma: bool = False


class JsonText:
    """A JSON text with the places of its values. UnsureError, naming file and line, if it is none."""

    def __init__(self, text: str, name: str) -> None:
        self.text = text
        self.name = name
        self._empty = not text.strip()
        self.root = Node(0, len(text), 0, {}) if self._empty else self._whole()

    @property
    def tree(self) -> Any:
        """The parsed value; a text of nothing is an empty object, as hosts take it."""
        return self.root.value

    # ---------------------------------------------------------------- change

    def insert(self, place: tuple[str, ...], item: Any, *, in_list: bool) -> tuple[str, dict[str, str | None]]:
        """The text with `item` at the end of the list at `place`, or as that member; and what had to be made."""
        if self._empty:
            return self._begun(place, [item] if in_list else item)
        node = self.root
        for depth, key in enumerate(place):
            self._expect(node, dict, place[:depth])
            found = next((child for child in node.children if child.key == key), None)
            if found is None:
                inner: Any = [item] if in_list else item
                for outer in reversed(place[depth + 1 :]):
                    inner = {outer: inner}
                text, made = self._put(node, key, inner, name_of(place[:depth]))
                return text, made | {name_of(place[: n + 1]): None for n in range(depth, len(place) - (not in_list))}
            node = found
        if not in_list:
            raise self._unsure(node.start, f"{name_of(place)} is there already")
        self._expect(node, list, place)
        return self._put(node, None, item, name_of(place))

    def remove(self, path: Path, made: Made) -> str | None:
        """The text without the entry at `path`, nor what it leaves empty; None: nothing was there before us."""
        path = whole(self.tree, path, made)
        chain = [self.root]
        for key in path:
            chain.append(next(child for child in chain[-1].children if child.key == key))
        node, parent = chain[-1], chain[-2]
        if len(parent.children) > 1:
            return self._cut(node, parent)
        if parent is self.root and ROOT in made:
            return made[ROOT]
        return self._spliced(parent.value_start + 1, parent.end - 1, made.get(name_of(path[:-1])) or "")

    def _begun(self, place: tuple[str, ...], inner: Any) -> tuple[str, dict[str, str | None]]:
        value = inner
        for key in reversed(place):
            value = {key: value}
        return json.dumps(value, indent=2, ensure_ascii=False) + "\n", {ROOT: self.text}

    def _put(self, parent: Node, key: PathKey | None, value: Any, name: str) -> tuple[str, dict[str, str | None]]:
        """Append a child. Into an empty container it is laid out afresh, and what stood between is remembered."""
        if not parent.children:
            unit = self._unit()
            spread = "\n" in self.text
            inner = self._indent_of(parent) + unit
            child = self._written(key, value, inner if spread else None)
            interior = self.text[parent.value_start + 1 : parent.end - 1]
            if interior.strip():
                raise self._unsure(parent.value_start, f"{name or 'the file'} holds nothing but a comment")
            newline = newline_of(self.text)
            filled = f"{newline}{inner}{child}{newline}{self._indent_of(parent)}" if spread else child
            return self._spliced(parent.value_start + 1, parent.end - 1, filled), {name: interior}
        last = parent.children[-1]
        line = "\n" in self.text[parent.value_start : parent.children[0].start]
        base = self._indent_of(parent.children[0]) if line else None
        child = self._written(key, value, base)
        lead = f"{newline_of(self.text)}{base}" if base is not None else " " if self._spaced() else ""
        if base is None or not self._rest_of_line(last, parent).strip(" \t\r,"):
            if parent.trailing_comma:
                comma = self.text.index(",", last.end)
                return self._spliced(comma + 1, comma + 1, f"{lead}{child},"), {}
            return self._spliced(last.end, last.end, f",{lead}{child}"), {}
        # A comment behind the last value stays behind it.
        at = last.end + len(self._rest_of_line(last, parent).rstrip("\r"))
        tail = "," if parent.trailing_comma else ""
        text = self._spliced(at, at, f"{lead}{child}{tail}")
        return (text if parent.trailing_comma else f"{text[: last.end]},{text[last.end :]}"), {}

    def _rest_of_line(self, last: Node, parent: Node) -> str:
        return self.text[last.end : parent.end - 1].partition("\n")[0]

    def _cut(self, node: Node, parent: Node) -> str:
        """Without one child of several: with the comma before it if it is the last, else with the one behind it."""
        index = parent.children.index(node)
        start = node.start - len(self.text[: node.start]) + len(self.text[: node.start].rstrip(" \t"))
        for newline in ("\r\n", "\n"):
            if self.text[:start].endswith(newline):
                start -= len(newline)
                break
        if index + 1 < len(parent.children) or parent.trailing_comma:
            return self._spliced(start, self._comma_after(node) + 1, "")
        before = parent.children[index - 1]
        text = self._spliced(start if start > before.end else node.start, node.end, "")
        comma = self._comma_after(before)
        return text[:comma] + text[comma + 1 :]

    def _comma_after(self, node: Node) -> int:
        at = self._skip(node.end)
        assert self.text[at] == ",", "a value that is not the last is followed by a comma"
        return at

    def _written(self, key: PathKey | None, value: Any, indent: str | None) -> str:
        if indent is None:
            spaced = self._spaced()
            text = json.dumps(value, ensure_ascii=False, separators=(", ", ": ") if spaced else (",", ":"))
            return text if key is None else f"{json.dumps(key, ensure_ascii=False)}:{' ' if spaced else ''}{text}"
        text = json.dumps(value, indent=self._unit() or "  ", ensure_ascii=False)
        text = text.replace("\n", newline_of(self.text) + indent)
        return text if key is None else f"{json.dumps(key, ensure_ascii=False)}: {text}"

    def _spaced(self) -> bool:
        return re.search(r'":\s', self.text) is not None or '":' not in self.text

    def _indent_of(self, node: Node) -> str:
        """The white space that the line of a value begins with."""
        line = self.text[self.text.rfind("\n", 0, node.start) + 1 : node.start]
        return line[: len(line) - len(line.lstrip(" \t"))] if node is not self.root else ""

    def _unit(self) -> str:
        """What one level is indented by: as the first member that is on a line of its own."""
        found = re.search(r"[{\[][^\S\n]*\r?\n([ \t]+)\S", self.text)
        return found.group(1) if found else "  "

    def _spliced(self, start: int, end: int, new: str) -> str:
        return self.text[:start] + new + self.text[end:]

    def _expect(self, node: Node, kind: type, path: Path) -> None:
        if not isinstance(node.value, kind):
            wanted = "an object" if kind is dict else "a list"
            raise self._unsure(node.start, f"{name_of(path) or 'the file'} is not {wanted}")

    # ---------------------------------------------------------------- read

    def _whole(self) -> Node:
        node = self._node(self._skip(0), 0)
        if (end := self._skip(node.end)) != len(self.text):
            raise self._unsure(end, "something stands behind the end of the JSON value")
        return node

    def _node(self, at: int, depth: int) -> Node:
        if depth > DEPTH_MAX:
            raise self._unsure(at, "it is nested too deep")
        start = self.text[at : at + 1]
        if start == "{":
            return self._container(at, depth, "}")
        if start == "[":
            return self._container(at, depth, "]")
        if start == '"':
            value, end = self._string(at)
            return Node(at, end, at, value)
        found = _SCALAR.match(self.text, at)
        if found is None:
            raise self._unsure(at, "it is no JSON here")
        return Node(at, found.end(), at, json.loads(found.group()))

    def _container(self, at: int, depth: int, close: str) -> Node:
        node = Node(at, at, at, {} if close == "}" else [])
        here = self._skip(at + 1)
        while self.text[here : here + 1] != close:
            child = self._member(here, depth, node) if close == "}" else self._node(here, depth + 1)
            if close == "]":
                child.key = len(node.children)
                node.value.append(child.value)
            node.children.append(child)
            here = self._skip(child.end)
            node.trailing_comma = self.text[here : here + 1] == ","
            if node.trailing_comma:
                here = self._skip(here + 1)
            elif self.text[here : here + 1] != close:
                raise self._unsure(here, f"a comma or {close} is missing")
        node.end = here + 1
        return node

    def _member(self, at: int, depth: int, parent: Node) -> Node:
        if self.text[at : at + 1] != '"':
            raise self._unsure(at, "a key in quotes is missing")
        key, end = self._string(at)
        colon = self._skip(end)
        if self.text[colon : colon + 1] != ":":
            raise self._unsure(colon, "a colon is missing")
        if key in parent.value:
            raise self._unsure(at, f"the key {json.dumps(key)} is there twice")
        child = self._node(self._skip(colon + 1), depth + 1)
        child.key, child.start = key, at
        parent.value[key] = child.value
        return child

    def _string(self, at: int) -> tuple[str, int]:
        try:
            value, end = scanstring(self.text, at + 1, True)
        except JSONDecodeError as error:
            raise self._unsure(error.pos, error.msg.lower()) from error
        return str(value), int(end)

    def _skip(self, at: int) -> int:
        found = _GAP.match(self.text, at)
        return found.end() if found else at

    def _unsure(self, at: int, why: str) -> UnsureError:
        return UnsureError(
            f"{self.name}, line {line_at(self.text, at)}: {why}", hint="mend it, or add the entry yourself"
        )
