"""The differences between a draft and its final text, as pieces: kept, deleted, inserted.

Pure and bounded: texts are compared by words up to PIECES_MAX; beyond that the middle is shown as replaced. Partner:
the pages, which render the pieces as <del> and <ins>.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

CHARACTERS_MAX = 4_000
PIECES_MAX = 2_000
_PIECES = re.compile(r"\w+|\s+|[^\w\s]")


class Piece(NamedTuple):
    """A run of text."""

    kind: Literal["kept", "cut", "added"]
    text: str


def difference(draft: str, final: str) -> list[Piece]:
    """The pieces in reading order: those kept or cut make the draft, those kept or added the final.

    Both are shown up to CHARACTERS_MAX characters; what follows is an ellipsis.
    """
    before, after = _shown(draft), _shown(final)
    old, new = _PIECES.findall(before), _PIECES.findall(after)
    if not old or not new or len(old) > PIECES_MAX or len(new) > PIECES_MAX:
        return _merged([Piece("cut", before), Piece("added", after)])
    from rapidfuzz.distance import Indel  # here: 40 ms that a server without pages need not pay

    pieces: list[Piece] = []
    for code in Indel.opcodes(old, new):
        was, became = "".join(old[code.src_start : code.src_end]), "".join(new[code.dest_start : code.dest_end])
        pieces += [Piece("kept", was)] if code.tag == "equal" else [Piece("cut", was), Piece("added", became)]
    return _merged(pieces)


def _shown(text: str) -> str:
    return text if len(text) <= CHARACTERS_MAX else text[:CHARACTERS_MAX] + "…"


def _merged(pieces: Sequence[Piece]) -> list[Piece]:
    """Without empty pieces; changes with nothing but a space between them become one, cut before added."""
    merged: list[Piece] = []
    cut = added = ""
    filled = [piece for piece in pieces if piece.text]
    for place, piece in enumerate(filled):
        if piece.kind == "cut":
            cut += piece.text
        elif piece.kind == "added":
            added += piece.text
        elif piece.text.isspace() and (cut or added) and place + 1 < len(filled) and "\n" not in piece.text:
            cut, added = cut + piece.text, added + piece.text
        else:
            merged += _change(cut, added)
            merged.append(piece)
            cut = added = ""
    return merged + _change(cut, added)


def _change(cut: str, added: str) -> list[Piece]:
    """One change; a space that both sides end in stays outside."""
    tail = ""
    while cut and added and cut[-1] == added[-1] and cut[-1].isspace():
        cut, added, tail = cut[:-1], added[:-1], cut[-1] + tail
    found = [Piece("cut", cut), Piece("added", added), Piece("kept", tail)]
    return [piece for piece in found if piece.text]
