"""The replica as read back: the cloud's description of its logs, and the results of a scrub.

Pure, for both sides: the server builds `scrub_json`, a client parses it with `read_scrub`. Partner: `sink.reader`,
which transports the bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from replicator.errors import WireError
from replicator.model import Head
from replicator.proof import HASH_BYTES, CompactRange
from replicator.wire.common import INTEGER_MAX, PLAIN_CHARACTERS_MAX, Fields, plain, read_head

ScrubDepth = Literal["shallow", "deep"]
KINDS: tuple[ScrubDepth, ...] = ("shallow", "deep")


@dataclass(frozen=True, slots=True)
class ReplicaLog:
    """One log at the cloud. Times are ISO 8601, UTC; `holes` counts places without bytes.

    `brain_id` is known only where one log was asked for.
    """

    head: Head
    device_id: str
    parent: str | None = None
    created_at: str | None = None
    stored_at: str | None = None
    holes: int = 0
    brain_id: str | None = None


def read_stored_log(fields: Fields) -> ReplicaLog:
    """An entry of `GET /logs`, or the answer to `GET /logs/{log_id}`."""
    return ReplicaLog(
        head=read_head(fields),
        device_id=fields.name("device_id"),
        parent=fields.uuid_or_none("parent"),
        created_at=_time(fields, "created_at"),
        stored_at=_time(fields, "stored_at"),
        holes=fields.number_or_none("holes") or 0,
        brain_id=fields.name_or_none("brain_id"),
    )


def _time(fields: Fields, name: str) -> str | None:
    text = fields.text_or_none(name, PLAIN_CHARACTERS_MAX)
    return None if text is None else plain(text)


@dataclass(frozen=True, slots=True)
class Scrub:
    """The result of a scrub of records [first, end).

    `rows`: how many rows exist, `holes` of them without bytes; `gaps`: half-open ranges without a row; `damaged`:
    records whose bytes do not match their leaf. `tiles_damaged`: tiles above the leaves that do not match them. `root`
    (deep only): the root of all records before `end` from the stored bytes, None for a part; `tree`: its compact range.
    `more`: the answer was cut; continue at `end`.
    """

    kind: str
    first: int
    end: int
    rows: int
    holes: int = 0
    gaps: tuple[tuple[int, int], ...] = field(default=(), repr=False)
    damaged: tuple[int, ...] = field(default=(), repr=False)
    tiles_damaged: int = 0
    root: bytes | None = None
    tree: CompactRange | None = None
    more: bool = False

    @property
    def missing(self) -> int:
        """How many records have no row."""
        return self.end - self.first - self.rows


def scrub_json(found: Scrub) -> dict[str, Any]:
    """The scrub's fields of the answer. `next` has the parameters of the request that continues."""
    answer: dict[str, Any] = {
        "scrub": found.kind,
        "first": found.first,
        "end": found.end,
        "rows": found.rows,
        "missing": found.missing,
        "gaps": found.gaps,
    }
    nodes = None if found.tree is None else b"".join(found.tree.nodes).hex()
    if found.kind == "deep":
        answer |= {
            "bytes_missing": found.holes,
            "damaged": found.damaged,
            "damaged_count": len(found.damaged),
            "tiles_damaged": found.tiles_damaged,
            "stored_root": None if found.root is None else found.root.hex(),
        }
    answer["next"] = {"first": found.end} | ({} if nodes is None else {"nodes": nodes}) if found.more else None
    return answer


def tree_before(first: int, nodes: str | None) -> CompactRange | None:
    """The tree that `first` and `nodes` of a request name; None if they name none."""
    try:
        joined = bytes.fromhex(nodes or "")
    except ValueError:
        return None
    if len(joined) != first.bit_count() * HASH_BYTES:
        return None
    return CompactRange(first, tuple(joined[at : at + HASH_BYTES] for at in range(0, len(joined), HASH_BYTES)))


def read_scrub(fields: Fields) -> Scrub:
    """The answer to a scrub. Raises WireError where it is none, or contradicts itself."""
    kind = fields.name("scrub")
    first, end = fields.number("first"), fields.number("end")
    gaps = tuple(_gap(fields, item, first, end) for item in fields.items("gaps"))
    further = fields.inner_or_none("next")
    deep = kind == "deep"
    damaged = tuple(_numbers(fields, "damaged", first, end)) if deep else ()
    tree = None
    if deep and further is not None and further.values.get("nodes") is not None:
        tree = tree_before(further.number("first"), further.text("nodes", 64 * 64))
        if tree is None or tree.size != end:
            raise fields.wrong("next", "the parameters for asking on")
    found = Scrub(
        kind=kind,
        first=first,
        end=end,
        rows=fields.number("rows"),
        holes=fields.number("bytes_missing") if deep else 0,
        gaps=gaps,
        damaged=damaged,
        tiles_damaged=fields.number("tiles_damaged") if deep else 0,
        root=fields.hash("stored_root") if deep and fields.values.get("stored_root") is not None else None,
        tree=tree,
        more=further is not None,
    )
    if end < first or sum(stop - start for start, stop in gaps) != found.missing or (found.more and end == first):
        raise WireError("the scrub's counts contradict each other")
    return found


def scrub_query(kind: ScrubDepth, first: int, end: int | None, tree: CompactRange | None) -> str:
    """The query of a request that looks at records [first, end); `tree` as the answer before named it."""
    query = f"?scrub={kind}&first={first}"
    if end is not None:
        query += f"&end={end}"
    if tree is not None and tree.size:
        query += f"&nodes={b''.join(tree.nodes).hex()}"
    return query


def _gap(fields: Fields, item: object, first: int, end: int) -> tuple[int, int]:
    if isinstance(item, list) and len(item) == 2 and type(item[0]) is int and type(item[1]) is int:
        start, stop = item
        if first <= start < stop <= end <= INTEGER_MAX:
            return start, stop
    raise fields.wrong("gaps", "a list of ranges of records")


def _numbers(fields: Fields, name: str, first: int, end: int) -> list[int]:
    numbers = fields.items(name)
    if not all(type(number) is int and first <= number < end for number in numbers):
        raise fields.wrong(name, "a list of record numbers")
    return numbers
