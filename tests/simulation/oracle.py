"""What must hold, in one file that can be read alone. Everything else in this folder only makes things happen.

While the world runs:
- *Promises.* A record whose append returned survives every power cut; of one whose append failed nothing is there.
- *No gap, never twice.* The cloud accepts a batch only directly behind, or equal to, what it has; and what is before
  it is what its client has there.
- *Nothing travels that a power cut could take*: bytes, and the log's name, are on the disk before they are sent.
- *Durable is what the sidecar has*: a checkpoint that counts as done is there, its dead letters too.
- *Cursor ≤ cloud.* Whatever a sidecar makes durable was acknowledged by a cloud: same size, same root.
- *Dead letters* were refused alone, or are longer than anyone takes.
- *No unjustified healing.* A rewind, new generation, jump, resend, pause or refusal needs a cause injected before it.

After the time of healing: every log is byte for byte at its cloud, roots by the definition of RFC 9162 equal, each
event once in the projection, everything that was ever acknowledged still there (but for what a cloud lost itself), and
nobody sends any more.

Known and excused: rows that vanish in the middle of a store are found by a check, and not mended by themselves; a
record edited in place stays edited on one side.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gradata.cloud.domain.plan import Append, Decision, Diverged, Done, Gap, HoleClaim
from gradata.cloud.domain.tiles import leaves_at
from gradata.cloud.protocol.interpret import meaning_of
from gradata.cloud.protocol.log_bytes import Span, log_bytes
from gradata.cloud.service.api_keys import WORKSPACE
from gradata.cloud.service.integrity import check
from gradata.cloud.store.reading import each_row, living_brains
from gradata.cloud.store.values import StoredLog
from replicator import actions as act
from replicator.model import Batch, Hole, Standing
from replicator.progress import Progress
from replicator.proof import CompactRange
from replicator.status import Notice

from .cloud import LIMITS, Answered, CloudProcess
from .policy import POLICY

if TYPE_CHECKING:
    from .directory import Directory
    from .world import World

NEEDS_NO_CAUSE = frozenset({"recovered", "log missing", "dead_letter"})
"""Dead letters are judged one by one."""

LAG_S, LATENCY_S = 5.0, 0.1
AWAY_LAG_S = 7.0
"""For a record that is appended after the cloud came back: the next try, with its heartbeat, is within it."""
APART_S = 4.9
"""What a probe is from the one before it, at least."""
COUNTED = frozenset({"new_generation", "rewound", "jumped", "cloud_changed"})
"""Each cause justifies these once for each process."""


KINDS = ("lost", "twice", "unjustified", "late", "wrong", "crashed")
"""What a violation is counted as: a record lost, an event twice, a repair without a cause, not delivered in time,
another promise broken; crashed: the code under test raised."""


class ViolationError(AssertionError):
    """Something does not hold. `kind`: one of KINDS."""

    def __init__(self, text: str, kind: str) -> None:
        super().__init__(text)
        assert kind in KINDS
        self.kind = kind


class Oracle:
    """Watches one world. `sent` counts batches that clients sent."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.sent = 0
        self._promises: dict[str, list[tuple[int, bytes]]] = {}
        self._tampered: set[str] = set()
        self._waiting: dict[str, list[tuple[int, float]]] = {}
        """Ends and times of records that are not acknowledged yet, while nothing went wrong."""
        self._stored: dict[tuple[str, str], list[bytes]] = {}
        """The leaves of each log, as its cloud accepted and did not lose them."""
        self._once: dict[str, list[list[bytes]]] = {}
        """Leaves of each log that some cloud had before it lost them."""
        self._roots: dict[tuple[str, str, int], bytes] = {}
        """Those of `_stored` that were asked for, by cloud, log and size."""
        self._acknowledged: set[tuple[str, int, bytes]] = set()
        self._refused_alone: set[bytes] = set()
        self._by_strangers: dict[bytes, list[float]] = {}
        """When something that is not the cloud refused a record alone: only several times, apart, condemn it."""
        self._generations: dict[object, list[float]] = {}
        """For each engine, when it began generations since the last record that was accepted."""
        self._left_out: set[bytes] = set()
        """The leaves of records whose places were sent among others: each is still sent alone."""
        self._rows_lost: set[tuple[str, str, int]] = set()

    def _check(self, holds: object, wrong: str, kind: str = "wrong") -> None:
        if not holds:
            raise ViolationError(f"at {self._world.clock.now_s:.1f} s: {wrong}", kind)

    def _react(self, directory: Directory, reaction: str) -> None:
        """A reaction was seen; it needs a cause."""
        self._world.count(reaction)
        if reaction in NEEDS_NO_CAUSE:
            return
        directory.reactions[reaction] += 1
        causes, seen = directory.excused[reaction], directory.reactions[reaction]
        self._check(causes, f"{reaction} in {directory.name}, for which nothing was the cause", "unjustified")
        often = reaction in COUNTED and seen > causes
        more = f"{reaction} in {directory.name} for the {seen}th time, more often than there were causes"
        self._check(not often, more, "unjustified")

    # ------------------------------------------------------------------------------ the log

    def promised(self, directory: Directory, offset: int, record: bytes) -> None:
        """An append returned."""
        self._promises.setdefault(directory.name, []).append((offset, record))
        there = directory.disk.piece(directory.path, offset, len(record))
        self._check(there == record, "a promised record is not in the log", "lost")
        glued = offset > 0 and directory.disk.piece(directory.path, offset - 1, 1) != b"\n"
        self._check(not glued, "a promised record does not begin a line")
        if self._world.reachable and directory.leads:
            self._waiting.setdefault(directory.name, []).append((offset + len(record), self._world.clock.now_s))

    def not_appended(self, directory: Directory, before: int, record: bytes, *, torn: bool) -> None:
        """An append raised AppendError."""
        end = directory.disk.size(directory.path)
        left = directory.disk.piece(directory.path, before, end)
        self._check(record not in left and (torn or left in (b"", b"\n")), "a failed append left a piece of its record")

    def before_cut(self, directory: Directory) -> None:
        """The power is about to be cut: every promise is one by now."""
        self._check_promises(directory, directory.disk.content(directory.path), "was lost before the cut")

    def after_cut(self, directory: Directory) -> None:
        """The power was cut."""
        self._check_promises(directory, directory.disk.content(directory.path), "did not survive a power cut")

    def _check_promises(self, directory: Directory, content: bytes, wrong: str) -> None:
        if directory.name in self._world.away:
            return
        for offset, record in self._promises.get(directory.name, ()):
            there = content[offset : offset + len(record)]
            self._check(there == record, f"the record promised at {offset} in {directory.name} {wrong}", "lost")

    def tampered(self, directory: Directory) -> None:
        """A person changed the log: what they took away is promised no longer."""
        self._tampered.add(directory.name)
        content = directory.disk.content(directory.path)
        kept = [
            (offset, record)
            for offset, record in self._promises.get(directory.name, ())
            if content[offset : offset + len(record)] == record
        ]
        self._promises[directory.name] = kept

    # ------------------------------------------------------------------------------ the cloud

    def committed(self, cloud: CloudProcess, request: Append, decision: Decision) -> None:
        """A cloud decided about a batch, and this is durable."""
        world = self._world
        if isinstance(decision, Gap | Diverged):
            world.count("conflict: gap" if isinstance(decision, Gap) else "conflict: diverged")
            return
        self._check(isinstance(decision, Done), f"a batch of ours is {decision}")
        assert isinstance(decision, Done)
        load = request.load
        leaves = [load.leaf] if isinstance(load, HoleClaim) else list(load.leaves)
        counted = decision.accepted + decision.duplicates + len(decision.flagged) + len(decision.refused)
        self._check(counted == len(leaves), f"{len(leaves)} records were counted as {counted}")
        stored = self._stored.setdefault((cloud.name, request.log_id), [])
        self._check(request.first <= len(stored), "a batch was accepted beyond the end", "lost")
        if request.first + len(leaves) > len(stored):
            same = request.root == self._root_at(cloud.name, request.log_id, request.first)
            self._check(same, "a batch was accepted behind other records than its client has", "lost")
        overlap = stored[request.first : request.first + len(leaves)]
        self._check(overlap == leaves[: len(overlap)], "a batch was accepted in the place of other records", "lost")
        world.count("absorbed again", len(overlap))
        world.count("rows mended", len(decision.writes.mended))
        world.count("flagged", len(decision.flagged))
        world.count("conflicting event", sum(flag.code == "event_conflict" for flag in decision.flagged))
        world.count("refused by the cloud", len(decision.refused))
        stored += leaves[len(overlap) :]
        self._check(decision.tree.size == len(stored), "the head is not behind the last record")
        self._acknowledged.add((request.log_id, decision.tree.size, decision.tree.root))
        for row in decision.writes.mended:
            self._rows_lost.discard((cloud.name, request.log_id, row.number))

    def _root_at(self, name: str, log_id: str, size: int) -> bytes:
        """The root of what a cloud accepted of a log, up to there."""
        place = (name, log_id, size)
        if place not in self._roots:
            self._roots[place] = CompactRange.EMPTY.extended(self._stored[name, log_id][:size]).root
        return self._roots[place]

    def rolled_back(self, cloud: CloudProcess, heads: object) -> None:
        """A cloud lost what it had, or part of it, by a disaster: what it has now is what it must keep."""
        for (name, log_id), leaves in list(self._stored.items()):
            if name == cloud.name:
                self._once.setdefault(log_id, []).append(leaves)
                del self._stored[name, log_id]
        self._roots = {place: root for place, root in self._roots.items() if place[0] != cloud.name}
        for log in _logs(cloud):
            self._stored[cloud.name, log.log_id] = _leaves(cloud, log)
        self._rows_lost = {lost for lost in self._rows_lost if lost[0] != cloud.name} | {
            (cloud.name, report.log_id, number)
            for report in check(cloud.store, WORKSPACE)
            for number in (*report.missing, *report.damaged)
        }

    def rows_lost(self, cloud: CloudProcess, rows: Sequence[tuple[str, int]]) -> None:
        """Single rows vanished or were damaged."""
        self._rows_lost |= {(cloud.name, log_id, number) for log_id, number in rows}

    # ------------------------------------------------------------------------------ the client

    def sends(self, directory: Directory, p: Progress, action: act.Send | act.Beat | act.Recall) -> None:
        """A request leaves."""
        if not isinstance(action, act.Send):
            self._world.count(f"request: {type(action).__name__.lower()}")
            return
        self.sent += 1
        load = action.load
        self._world.count("request: batch" if isinstance(load, Batch) else "request: hole")
        if isinstance(load, Batch) and load.holes:
            self._world.count("request: batch with holes")
            records = list(load.records())
            self._left_out |= {_leaf(records[number - load.first]) for number in load.holes}
        self._check(not directory.foreign, "records are sent to another cloud, which nobody confirmed")
        self._check(_durable(directory, action), "a power cut could take what is sent", "lost")
        stored = self._stored.get((directory.cloud.name, action.cursor.log_id), ())
        alone = isinstance(load, Batch) and load.count == 1 and _leaf(load.data) in self._left_out
        if len(stored) > action.cursor.size and not alone:
            self._react(directory, "resend")

    def answered(self, directory: Directory, action: act.Action, answer: Answered) -> None:
        """An answer came, whoever gave it."""
        if answer.status == 429:
            self._react(directory, "throttled")
        if not (isinstance(action, act.Send) and answer.status in (413, 422) and action.load.count == 1):
            return
        load = action.load
        leaf = load.leaf if isinstance(load, Hole) else _leaf(load.data)
        if b'"code":' in answer.body:
            self._refused_alone.add(leaf)
            return
        self._world.count("refused by a stranger")
        times = self._by_strangers.setdefault(leaf, [])
        times.append(self._world.clock.now_s)
        if len(times) >= 3 and times[-1] - times[-3] >= 2 * APART_S:
            self._refused_alone.add(leaf)

    def noticed(self, directory: Directory, notice: Notice) -> None:
        """The engine tells people something."""
        self._world.note(f"{directory.name} says {notice.code}: {notice.text}")
        missing = notice.code == "log_unreadable" and not notice.grave
        self._react(directory, "log missing" if missing else notice.code)

    def stepped(self, directory: Directory, leader: str, before: Progress, action: act.Action, after: Progress) -> None:
        """The engine of one who leads did a step."""
        world = self._world
        if isinstance(action, act.Compare):
            world.count("compared")
        if isinstance(action, act.Recall) and after.recalled and after.compare:
            world.count("recalled")
        if before.standing is None and after.standing is not None and isinstance(action, act.Compare):
            world.count("sidecar rebuilt from the cloud")
        if after.sizing.ceiling_bytes < before.sizing.ceiling_bytes:
            world.count("batch halved")
        if after.sizing.batch_records < before.sizing.batch_records and after.limits == before.limits:
            world.count("batch halved by records")
        if isinstance(action, act.Wait) and before.budget.ready_at(0.0) > world.clock.now_s:
            world.count("waited for the budget")
        resend = after.standing.resend if after.standing is not None else None
        if resend is not None and (before.standing is None or before.standing.resend is None):
            world.count("sends up to a near head again")
        self._count_refusals(directory.refused_in_a_row, leader, before, action, after)
        self._judge_pace(directory, after)
        self._judge_generations(directory, before, after)
        if isinstance(action, act.Checkpoint):
            self._judge_save(directory, leader, action, after)
        else:
            for letter in after.saving.dead_letters[len(before.saving.dead_letters) :]:
                self._judge_letter(before, letter.record, letter.length)

    def _count_refusals(
        self, in_a_row: Counter[str], leader: str, before: Progress, action: act.Action, after: Progress
    ) -> None:
        """Several records refused alone in a row are no bad records, but a bad cloud: no dead letters wholesale."""
        if after.standing == before.standing or isinstance(action, act.Checkpoint):
            return
        if not isinstance(action, act.Send):
            in_a_row[leader] = 0  # what was refused is met again where the cursor went: counted anew
            return
        load, more = action.load, len(after.saving.dead_letters) - len(before.saving.dead_letters)
        hole = isinstance(load, Hole) and before.isolation.refusal is not None
        alone = isinstance(load, Batch) and load.count == 1 and after.tally.refused == before.tally.refused
        refused = more > 0 and (hole or alone)
        in_a_row[leader] = in_a_row[leader] + 1 if refused else 0
        self._check(in_a_row[leader] < POLICY.refused_in_a_row_max, "dead letters are made wholesale", "lost")

    def _judge_pace(self, directory: Directory, after: Progress) -> None:
        """Before anything went wrong every record is acknowledged within seconds, if batches travel fast."""
        if not self._world.reachable or after.standing is None or self._world.latency_s > LATENCY_S:
            self._waiting.clear()
            return
        waiting = self._waiting.get(directory.name, ())
        for _, time_s in waiting:
            late_s = self._world.clock.now_s - time_s
            most_s = AWAY_LAG_S if self._world.faulty else LAG_S
            self._check(late_s <= most_s, f"a record waits for {late_s:.1f} s although nothing went wrong", "late")
        self._waiting[directory.name] = [one for one in waiting if one[0] > after.standing.cursor.offset]

    def _judge_generations(self, directory: Directory, before: Progress, after: Progress) -> None:
        """A cloud that is content with no generation gets them at the pace of probes."""
        engine = directory.holder.engine if directory.holder is not None else None
        begun = self._generations.setdefault(engine, [])
        ordered = after.saving.reset_id not in (0, before.saving.reset_id)
        if ordered or after.tally.accepted + after.tally.duplicates > before.tally.accepted + before.tally.duplicates:
            begun.clear()
        if after.tally.generations > before.tally.generations:
            begun.append(self._world.clock.now_s)
            paced = len(begun) < 4 or begun[-1] - begun[-2] >= APART_S
            self._check(paced, "generations follow each other without end", "unjustified")
        if len(begun) >= 3:
            self._world.count("generations paced")

    def _judge_save(self, directory: Directory, leader: str, action: act.Checkpoint, after: Progress) -> None:
        """What a client believes to be saved is saved."""
        if after.saving.durable != action.standing or after.saving.trouble is not None:
            return
        (rows,) = (process.rows for process in directory.processes if process.name == leader)
        self._check(rows.standing == action.standing, f"{leader} takes a cursor for durable that is not", "lost")
        letters = [kept.letter for kept in rows.letters.values()]
        last = {(letter.log_id, letter.record): letter for letter in action.dead_letters}  # one a place is kept
        kept = all(letter in letters for letter in last.values())
        self._check(kept, f"{leader} takes dead letters for durable that are not", "lost")

    def _judge_letter(self, before: Progress, number: int, length: int) -> None:
        load = before.load
        assert load is not None
        leaf = load.leaf if isinstance(load, Hole) else _leaf(list(load.records())[number - load.first])
        long = length > LIMITS.record_bytes
        wrong = f"record {number} is a dead letter, and was not refused alone"
        self._check(long or leaf in self._refused_alone, wrong, "lost")

    def checkpointed(self, directory: Directory, standing: Standing) -> None:
        """A sidecar made this durable."""
        cursor = standing.cursor
        head = (cursor.log_id, cursor.size, cursor.root)
        if cursor.size == 0 or head in self._acknowledged:
            return
        # An order to send again is planned on the log as it is. If that is another one by now, the cloud will say so.
        if standing.resend is not None and (directory.edited or directory.name in self._tampered):
            return
        had = [*self._once.get(cursor.log_id, ())]
        had += [leaves for (_, log_id), leaves in self._stored.items() if log_id == cursor.log_id]
        for leaves in had:
            if len(leaves) >= cursor.size and CompactRange.EMPTY.extended(leaves[: cursor.size]).root == cursor.root:
                self._acknowledged.add(head)
                return
        self._check(False, f"the cursor of {directory.name} is ahead of any cloud: {cursor.size} records", "lost")

    # ------------------------------------------------------------------------------ judgement

    def judge_lag(self) -> None:
        """The time of healing is over: nothing may be left to do."""
        for directory in self._world.directories:
            leader = directory.holder
            self._check(leader is not None and leader.engine is not None, f"nobody leads {directory.name}", "late")
            assert leader is not None
            assert leader.engine is not None
            p = leader.engine.progress
            whole = directory.disk.content(directory.path).rfind(b"\n") + 1
            missing = p.log_trouble is not None and p.log_trouble.code == "ENOENT" and not whole
            # A log that somebody removed, and nobody has begun again, leaves nothing to do: it is told, and waits.
            behind = not missing and (p.standing is None or p.standing.cursor.offset != whole)
            trouble = p.retry.trouble or (None if missing else p.log_trouble) or p.saving.trouble
            state = f"{trouble}, at {p.standing.cursor.offset if p.standing else None} of {whole}"
            self._check(not behind and trouble is None, f"{directory.name} is not healed: {state}", "late")

    def judge(self, *, quiet: bool) -> None:
        """Everything that must hold at the end."""
        self._check(quiet, "records are sent although everything was delivered", "unjustified")
        self.judge_lag()
        for directory in self._world.directories:
            self._judge_directory(directory)
        for cloud in self._world.clouds:
            self._judge_cloud(cloud)

    def _judge_directory(self, directory: Directory) -> None:
        assert directory.holder is not None
        assert directory.holder.engine is not None
        p = directory.holder.engine.progress
        content = directory.disk.content(directory.path)
        self._check_promises(directory, content, "is not in the log at the end")
        whole = content[: content.rfind(b"\n") + 1]
        records = [line + b"\n" for line in whole.split(b"\n")[:-1]]
        if not records:
            return
        cursor, store = p.cursor, directory.cloud.store
        log = store.log(WORKSPACE, cursor.log_id)
        self._check(log is not None, f"the cloud does not know the log of {directory.name}", "lost")
        assert log is not None
        name = f"the log of {directory.name}"
        self._check((log.tree, log.offset) == (cursor.tree, len(whole)), f"{name}: its head is not the cursor")
        self._check(p.saving.durable == p.standing, f"{name}: the cursor is not durable")
        saved = directory.shared or directory.letters_lost or directory.rows.standing == p.standing
        self._check(saved, f"{name}: the cursor is not in the sidecar")
        if directory.edited:
            return
        kind = "lost" if cursor.size < len(records) else "twice"
        self._check(cursor.size == len(records), f"{name}: {cursor.size} records of {len(records)}", kind)
        same = log.tree.root == _root([_leaf(record) for record in records])
        self._check(same, f"{name}: the root is not that of the file", "lost")
        holes = set()
        for row in each_row(store, log, 0, log.tree.size):
            lost = (directory.cloud.name, log.log_id, row.number) in self._rows_lost
            if row.record is None and not lost:
                holes.add(row.number)
            equal = row.record in (records[row.number], None)
            self._check(equal or lost, f"{name}: record {row.number} differs at the cloud", "lost")
        lost_here = any(lost[:2] == (directory.cloud.name, log.log_id) for lost in self._rows_lost)
        if not holes and not lost_here:
            self._check(b"".join(log_bytes(store, log, Span(0, log.offset))) == whole, f"{name}: bytes differ", "lost")
        letters = {kept.letter.record for kept in directory.rows.letters.values() if kept.letter.log_id == log.log_id}
        unsaid = holes - letters
        silent = f"{name}: holes without a dead letter: {sorted(unsaid)}"
        self._check(not unsaid or directory.letters_lost, silent, "lost")

    def _judge_cloud(self, cloud: CloudProcess) -> None:
        for report in check(cloud.store, WORKSPACE):
            wrong = {(cloud.name, report.log_id, number) for number in (*report.missing, *report.damaged)}
            self._check(wrong <= self._rows_lost, f"{cloud.name}: {report} and nothing took these rows", "lost")
            lost = {row for row in self._rows_lost if row[:2] == (cloud.name, report.log_id)}
            self._check(lost <= wrong, f"{cloud.name}: a check does not find the rows that are lost: {lost - wrong}")
            odd = report.tiles or report.root or report.displaced or (report.events and not lost)
            self._check(not odd, f"{cloud.name}: {report}")
        for log in _logs(cloud):
            expected = self._stored.get((cloud.name, log.log_id), [])
            other = f"{cloud.name}: log {log.log_id} is not what it accepted"
            self._check(_leaves(cloud, log) == expected, other, "lost")
            self._check(_root(expected) == log.tree.root, f"{cloud.name}: the root of {log.log_id} is wrong")
        events = cloud.store._connection.execute("SELECT brain_key, event_id FROM events").fetchall()
        twice = [event for event, count in Counter(events).items() if count > 1]
        self._check(not twice, f"{cloud.name}: events that are there twice: {twice[:3]}", "twice")
        counted = cloud.store._connection.execute(
            "SELECT brain_id, events, (SELECT COUNT(*) FROM events e WHERE e.brain_key = b.brain_key) FROM brains b"
        )
        miscounted = [(brain, said, there) for brain, said, there in counted if said != there]
        self._check(not miscounted, f"{cloud.name}: events said and there: {miscounted}", "twice")
        if not any(name == cloud.name for name, _, _ in self._rows_lost):
            ids = {
                _event_id(row.record) for log in _logs(cloud) for row in each_row(cloud.store, log, 0, log.tree.size)
            }
            backed = {event_id for _, event_id in events} - ids
            self._check(not backed, f"{cloud.name}: events that no record holds: {sorted(backed)[:3]}", "twice")


def _durable(directory: Directory, action: act.Send) -> bool:
    """Whether the disk has what is sent, if the log still holds it; True where a disk once refused to say."""
    file, load = directory.disk._files.get(directory.path), action.load
    if file is None or directory.sync_failed or isinstance(load, Hole):
        return True
    place = slice(load.offset, load.end)
    if file.seen[place] != load.data:
        return True
    return file.name_durable and file.durable[place] == load.data


def _logs(cloud: CloudProcess) -> list[StoredLog]:
    return [log for brain in living_brains(cloud.store, WORKSPACE) for log in cloud.store.logs(WORKSPACE, brain)]


def _leaves(cloud: CloudProcess, log: StoredLog) -> list[bytes]:
    return leaves_at(0, log.tree.size, lambda level, index: cloud.store.tile(log, level, index))


def _event_id(record: bytes | None) -> str | None:
    """The identity of a record that the cloud holds; None: it is no event."""
    meaning = None if record is None else meaning_of(record)
    return None if meaning is None or isinstance(meaning, str) else meaning.event_id


def _leaf(record: bytes) -> bytes:
    """RFC 9162, 2.1.1, by its definition."""
    return hashlib.sha256(b"\0" + record).digest()


def _root(leaves: Sequence[bytes]) -> bytes:
    """RFC 9162, 2.1.1, by its definition: split at the largest power of two below the size."""
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + _root(leaves[:split]) + _root(leaves[split:])).digest()
