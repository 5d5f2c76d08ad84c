"""Change one entry of a TOML text and not one byte beside it.

`tomllib` says what the text means; an entry is a block of its own (`[[hooks.PostToolUse]]` and the lines below it),
which is put at the end or cut out as lines. Entries of another shape are an UnsureError. tomlkit would not give the
bytes back (docs/decisions/0032). Partners: `json_text`, `yaml_text`.
"""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass
from typing import Any

from gradata.agents.model import ROOT, Made, Path, UnsureError, line_at, name_of, newline_of

_HEADER = re.compile(r"[ \t]*(\[\[?)[ \t]*([^\]\r\n]+?)[ \t]*\]\]?[ \t]*(?:#[^\r\n]*)?\r?$")
_PART = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'[^']*'|[A-Za-z0-9_-]+")
_STRINGS = re.compile(r'"""(?:[^\\]|\\.)*?"""|\'\'\'.*?\'\'\'|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|#[^\n]*', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A header and the lines below it, up to the last that says something. `index`: which of its list it is."""

    path: tuple[str, ...]
    start: int
    end: int
    index: int | None


class TomlText:
    """A TOML text with the places of its tables. UnsureError, naming file and line, if it is none."""

    def __init__(self, text: str, name: str) -> None:
        self.text = text
        self.name = name
        try:
            self.tree: dict[str, Any] = tomllib.loads(text.replace("\r\n", "\n"))
        except tomllib.TOMLDecodeError as error:
            found = re.search(r"line (\d+)", str(error))
            line = int(found.group(1)) if found else text.count("\n") + 1
            raise UnsureError(f"{name}, line {line}: {error}", hint="mend it, or add the entry yourself") from error
        except RecursionError as error:
            raise UnsureError(f"{name}: it is nested too deep", hint="add the entry yourself") from error
        self.blocks = self._find_blocks()

    def insert(self, place: tuple[str, ...], item: Any, *, in_list: bool) -> tuple[str, dict[str, str | None]]:
        """The text with a block for `item` at its end; and what had to be made."""
        assert in_list, "no host with a TOML file takes anything but lists"
        node: Any = self.tree
        for depth, key in enumerate(place):
            node = node.get(key, {} if depth + 1 < len(place) else []) if isinstance(node, dict) else None
        if not isinstance(node, list) or (node and not any(block.path == place for block in self.blocks)):
            raise self._unsure(0, f"{name_of(place)} is written in another form than [[{name_of(place)}]]")
        newline = newline_of(self.text)
        block = newline.join([f"[[{name_of(place)}]]", *(f"{name} = {_value(value)}" for name, value in item.items())])
        if not self.text.strip():
            return self.text + block + newline, {ROOT: self.text}
        ending = next((ending for ending in ("\r\n", "\n") if self.text.endswith(ending)), "")
        at = len(self.text) - len(ending)
        return self.text[:at] + newline * 2 + block + self.text[at:], {}

    def remove(self, path: Path, made: Made) -> str | None:
        """The text without the block of the entry at `path`; None: nothing was there before us."""
        block = self._block_of(path)
        text = self.text
        start, end = block.start, block.end
        for _ in range(2):  # its own line's beginning, and the blank line before it
            before = text[:start]
            newline = next((newline for newline in ("\r\n", "\n") if before.endswith(newline)), "")
            start -= len(newline)
        if start == 0 and block.start:
            start = block.start
        left = text[:start] + text[end:]
        if ROOT in made and not tomllib.loads(left.replace("\r\n", "\n")) and "#" not in left:
            return made[ROOT]
        return left.lstrip("\r\n") if not start else left

    def _block_of(self, path: Path) -> Block:
        """The block of an entry `(…, n)`, or of the group `(…, n, "hooks", 0)` that holds it alone."""
        node: Any = self.tree
        for key in path[:-1]:
            node = node[key]
        if path[-2:] == ("hooks", 0) and len(node) == 1:
            path = path[:-2]
        keys = tuple(key for key in path[:-1] if isinstance(key, str))
        found = next((block for block in self.blocks if block.path == keys and block.index == path[-1]), None)
        if found is None or len(keys) + 1 != len(path):
            raise self._unsure(0, f"{name_of(path)} is written inline")
        for block in self.blocks:
            if block.start > found.start:
                if block.path[: len(keys)] != keys or block.path == keys:
                    break
                found = Block(found.path, found.start, block.end, found.index)
        return found

    def _find_blocks(self) -> list[Block]:
        """Headers outside strings and comments, and multi-line arrays are no headers either."""
        plain = _STRINGS.sub(lambda found: re.sub(r"[^\n]", " " if found[0][0] == "#" else "_", found[0]), self.text)
        starts: list[tuple[int, int, bool, tuple[str, ...]]] = []
        offset, depth = 0, 0
        for line in self.text.splitlines(keepends=True) if "\x0b" not in self.text else self.text.split("\n"):
            masked = plain[offset : offset + len(line)]
            found = _HEADER.match(line.rstrip("\r\n")) if depth == 0 and masked.lstrip(" \t").startswith("[") else None
            if found is not None:
                starts.append((offset, offset + len(line), found.group(1) == "[[", _parts(found.group(2))))
            else:
                depth = max(0, depth + masked.count("[") - masked.count("]"))
            offset += len(line)
        counts: dict[tuple[str, ...], int] = {}
        blocks = []
        for number, (start, _, is_list, path) in enumerate(starts):
            stop = starts[number + 1][0] if number + 1 < len(starts) else len(self.text)
            body = re.sub(r"(?:\r?\n[ \t]*(?:#[^\n]*)?)*$", "", self.text[start:stop])
            index = counts.get(path, 0) if is_list else None
            if is_list:
                counts[path] = counts.get(path, 0) + 1
            blocks.append(Block(path, start, start + len(body), index))
        return blocks

    def _unsure(self, at: int, why: str) -> UnsureError:
        return UnsureError(
            f"{self.name}, line {line_at(self.text, at)}: {why}", hint="mend it, or add the entry yourself"
        )


def _parts(header: str) -> tuple[str, ...]:
    parts = _PART.findall(header)
    return tuple(
        json.loads(part) if part.startswith('"') else part[1:-1] if part.startswith("'") else part for part in parts
    )


def _value(value: Any) -> str:
    """A TOML value: text as a basic string, of which JSON's is a subset; the rest as JSON writes it."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_value(each)}" for name, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_value(each) for each in value) + "]"
    return json.dumps(value, ensure_ascii=False)
