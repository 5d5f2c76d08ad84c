"""Shell completions, generated from the command line's parser, so that they always match it.

Pure: a parser in, the text of a script out. Each script finds the command from the words so far, then offers its
commands, options and choices, and directories or files where an option takes one.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

Takes = Literal["nothing", "directory", "file", "choice", "value"]
_METAVARS: dict[str, Takes] = {"DIR": "directory", "FILE": "file", "PATH": "file"}


@dataclass(frozen=True, slots=True)
class Offer:
    """One possible word: a command, an option or a choice. `takes` is the kind of value that must follow."""

    word: str
    help: str
    takes: Takes = "nothing"
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CommandPlace:
    """One command, identified by the words that lead to it, and what may follow."""

    path: tuple[str, ...]
    offers: tuple[Offer, ...]
    takes: Takes = "nothing"
    """What a bare argument of it is."""

    @property
    def key(self) -> str:
        """The path as the scripts compare it."""
        return "".join(f" {word}" for word in self.path)


def places(parser: argparse.ArgumentParser, path: tuple[str, ...] = ()) -> Iterator[CommandPlace]:
    """Every command of the tree, the root first."""
    offers: list[Offer] = []
    bare: Takes = "nothing"
    inner: list[tuple[str, argparse.ArgumentParser]] = []
    for action in parser._actions:  # noqa: SLF001 -- argparse has no public way to look at itself
        help_text = _plain(action.help or "")
        choices = tuple(str(choice) for choice in action.choices or ())
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            helps = {each.dest: _plain(each.help or "") for each in action._choices_actions}  # noqa: SLF001
            offers += [Offer(name, helps.get(name, "")) for name in action.choices]
            inner += list(action.choices.items())
        elif action.option_strings:
            takes = _takes(action)
            offers += [Offer(option, help_text, takes, choices) for option in action.option_strings]
        elif choices:
            offers += [Offer(choice, help_text) for choice in choices]
        else:
            bare = _takes(action)
    yield CommandPlace(path, tuple(offers), bare)
    for name, each in inner:
        yield from places(each, (*path, name))


def _takes(action: argparse.Action) -> Takes:
    if action.nargs == 0:
        return "nothing"
    if action.choices:
        return "choice"
    return _METAVARS.get(action.metavar if isinstance(action.metavar, str) else "", "value")


def _plain(text: str) -> str:
    """Help for one line of any shell: argparse's `%%`, quotes and control characters out."""
    return re.sub(r"[\x00-\x1f'\"`$\\\[\]]", "", text.replace("%%", "%"))


def bash(parser: argparse.ArgumentParser) -> str:
    """For bash 3.2 and newer: `source <(gradata completion bash)`."""
    found = list(places(parser))
    return f"""# bash completion for gradata; load it with: source <(gradata completion bash)
_gradata() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} path="" i IFS=$' \\t\\n'
    for ((i = 1; i < COMP_CWORD; i++)); do
        case "$path ${{COMP_WORDS[i]}}" in
            {_either(place.key for place in found if place.path)}) path="$path ${{COMP_WORDS[i]}}" ;;
        esac
    done
    COMPREPLY=()
    case "$path $prev" in
{_bash_values(found)}
    esac
    case "$path" in
{_lines(f'        "{place.key}") {_bash_words(place)} ;;' for place in found)}
    esac
}}
_gradata_paths() {{
    local IFS=$'\\n'
    COMPREPLY+=($(compgen "$1" -- "$2"))
    compopt -o filenames 2>/dev/null
}}
complete -F _gradata gradata
"""


def _bash_words(place: CommandPlace) -> str:
    words = " ".join(offer.word for offer in place.offers)
    paths = {"directory": '; _gradata_paths -d "$cur"', "file": '; _gradata_paths -f "$cur"'}.get(place.takes, "")
    return f'COMPREPLY=($(compgen -W "{words}" -- "$cur")){paths}'


def _bash_values(found: list[CommandPlace]) -> str:
    return _values(
        found,
        {"directory": '_gradata_paths -d "$cur"', "file": '_gradata_paths -f "$cur"', "value": ":"},
        lambda choices: f'COMPREPLY=($(compgen -W "{choices}" -- "$cur"))',
    )


def zsh(parser: argparse.ArgumentParser) -> str:
    """For zsh: `source <(gradata completion zsh)` behind `compinit`, or as the file `_gradata` in `$fpath`."""
    found = list(places(parser))
    return f"""#compdef gradata
# zsh completion for gradata; load it with: source <(gradata completion zsh)
_gradata() {{
    local at="" i
    local -a offers
    for ((i = 2; i < CURRENT; i++)); do
        case "$at ${{words[i]}}" in
            ({_either(place.key for place in found if place.path)}) at="$at ${{words[i]}}" ;;
        esac
    done
    case "$at ${{words[CURRENT-1]}}" in
{_zsh_values(found)}
    esac
    case "$at" in
{_lines(f'        ("{place.key}") offers=({_zsh_words(place)}){_zsh_paths(place)} ;;' for place in found)}
    esac
    _describe -V gradata offers
}}
if [ "$funcstack[1]" = "_gradata" ]; then _gradata; else compdef _gradata gradata; fi
"""


def _zsh_words(place: CommandPlace) -> str:
    return " ".join(f"'{offer.word}:{offer.help.replace(':', ' ')}'" for offer in place.offers)


def _zsh_paths(place: CommandPlace) -> str:
    return {"directory": "; _files -/", "file": "; _files"}.get(place.takes, "")


def _zsh_values(found: list[CommandPlace]) -> str:
    values: dict[Takes, str] = {"directory": "_files -/", "file": "_files", "value": ":"}
    return _values(found, values, lambda choices: f"compadd -- {choices}", opening="(")


def fish(parser: argparse.ArgumentParser) -> str:
    """For fish: `gradata completion fish | source`, or as `~/.config/fish/completions/gradata.fish`."""
    found = list(places(parser))
    keys = " ".join(f"'{place.key}'" for place in found if place.path)
    head = f"""# fish completion for gradata; load it with: gradata completion fish | source
function __gradata_at
    set -l at ''
    for word in (commandline -opc)[2..-1]
        contains -- "$at $word" {keys}; and set at "$at $word"
    end
    test "$at" = "$argv[1]"
end
complete -c gradata -f
"""
    return head + _lines(_fish_line(place, offer) for place in found for offer in place.offers) + _fish_paths(found)


def _fish_line(place: CommandPlace, offer: Offer) -> str:
    line = f"complete -c gradata -n '__gradata_at \"{place.key}\"'"
    if offer.word.startswith("--"):
        line += f" -l {offer.word[2:]}"
    elif offer.word.startswith("-"):
        line += f" -s {offer.word[1:]}"
    else:
        line += f" -a {offer.word}"
    line += {
        "nothing": "", "value": " -x", "file": " -r -F", "directory": " -x -a '(__fish_complete_directories)'",
        "choice": f" -x -a '{' '.join(offer.choices)}'",
    }[offer.takes]  # fmt: skip
    return f"{line} -d '{offer.help}'"


def _fish_paths(found: list[CommandPlace]) -> str:
    bare = [place for place in found if place.takes in ("directory", "file")]
    values = {"directory": "-a '(__fish_complete_directories)'", "file": "-F"}
    return "\n" + _lines(
        f"complete -c gradata -n '__gradata_at \"{place.key}\"' {values[place.takes]}" for place in bare
    ) + "\n"  # fmt: skip


def _values(
    found: list[CommandPlace], values: dict[Takes, str], choose: Callable[[str], str], *, opening: str = ""
) -> str:
    """The branches of a `case` for the word behind an option that takes one."""
    taking: dict[str, list[str]] = {}
    for place in found:
        for offer in place.offers:
            if offer.takes != "nothing":
                act = choose(" ".join(offer.choices)) if offer.takes == "choice" else values[offer.takes]
                taking.setdefault(act, []).append(f"{place.key} {offer.word}")
    return _lines(f"        {opening}{_either(keys)}) {act}; return ;;" for act, keys in taking.items())


def _either(keys: Iterator[str] | list[str]) -> str:
    return " | ".join(f'"{key}"' for key in keys)


def _lines(lines: Iterator[str]) -> str:
    return "\n".join(lines)


SHELLS: dict[str, Callable[[argparse.ArgumentParser], str]] = {"bash": bash, "zsh": zsh, "fish": fish}
"""What can be made."""
