"""A brain directory on a simulated disk: its sidecar, its writers, its processes, and what befalls all of them.

The log's writer is the real one. A writer may die in the middle of an append; old writers take no lock.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING

from replicator.errors import AppendError, LogError, NotDurableError
from replicator.log import LogWriter
from replicator.model import Identity
from replicator.testing import SidecarRows

from .cloud import CloudProcess, Died
from .policy import POLICY
from .ports import Disk, copied
from .process import Process

if TYPE_CHECKING:
    from .world import World

ROWS_KEPT = 3
WRITERS = 3


class Directory:
    """One brain directory on a machine of its own."""

    path = "/brain/events.jsonl"

    def __init__(self, world: World, name: str, cloud: CloudProcess, identity: Identity) -> None:
        self.world = world
        self.name = name
        self.identity = identity
        self.cloud = cloud
        self.endpoint = "https://a.example/api/v1"
        self.key: str | None = None
        self.disk = Disk(random.Random(world.rng.random()))
        self.disk.short_write_chance = world.short_writes
        self.rows = SidecarRows()
        self.sidecar_fails: str | None = None
        self.holder: Process | None = None
        self.lease_broken = False
        self.led_by: str | None = None
        self.version = 0
        self.excused: Counter[str] = Counter()
        """How often each reaction may be seen."""
        self.reactions: Counter[str] = Counter()
        self.edited = False
        """Bytes before the cursor were edited, or lost by a disk that had failed to sync them: there cloud and file may
        differ for good."""
        self.sync_failed = False
        """The disk once refused to sync: what it holds from then on nobody can know."""
        self.foreign = False
        """The cloud is another one than before, and nobody has confirmed it."""
        self.refused_in_a_row: Counter[str] = Counter()
        """By the one who leads: where two do at one time, each meets the same records for itself."""
        self.shared = False
        """Two led it at one time, and overwrote each other's sidecar."""
        self.letters_lost = False
        """The sidecar's list of dead letters was lost with it."""
        self.first_rows: SidecarRows | None = None
        self.backup: tuple[bytes, SidecarRows] | None = None
        self.processes = [Process(self, "p1"), Process(self, "p2")]
        self._rows_before: list[SidecarRows] = []
        self._writers = [LogWriter(self.path, self.disk) for _ in range(WRITERS)]

    def excuse(self, *reactions: str) -> None:
        """A cause was injected here that justifies these reactions; one that makes a client lose its place justifies
        once more what was justified before."""
        again = self.excused.keys() if "resend" in reactions else ()
        for reaction in {*reactions, *again}:
            self.excused[reaction] += len(self.processes)

    @property
    def leads(self) -> bool:
        """Whether somebody leads it and knows where it stands."""
        engine = self.holder.engine if self.holder is not None else None
        return engine is not None and engine.progress.standing is not None

    def touched(self) -> None:
        """Something here changed: a wake, file events or the timer tell of it."""
        self.version += 1
        rng = self.world.rng
        for process in self.processes:
            process.wake(rng.choice((0.0, rng.uniform(0.01, 0.3), rng.uniform(0.0, POLICY.timer_s))))

    def lease_is_free(self) -> None:
        """Whoever waits for the lease looks within a second."""
        for process in self.processes:
            if process.alive:
                process._after(self.world.rng.uniform(0.0, 1.0), process.try_to_lead)

    def restart_later(self, process: Process) -> None:
        """The process died; somebody starts it again."""
        process.dies_at = None
        process.die()
        self.excuse("resend", "jumped")
        self.world.count("leader killed between steps")
        self.world.clock.after(self.world.rng.choice((0.2, 20.0, 300.0)) * self.world.rng.random(), process.start)

    # ------------------------------------------------------------------------------ writers

    def append(self, record: bytes, *, dies: bool = False) -> None:
        """A writer of ours appends a record; `dies`: it is killed in the middle of it."""
        world = self.world
        number = world.rng.randrange(WRITERS)
        before = self.disk.size(self.path)
        self.disk.between_pages = self.look
        self.disk.dying = dies
        try:
            appended = self._writers[number].append(record)
        except AppendError as error:
            world.count("append failed")
            world.oracle.not_appended(self, before, record, torn="torn piece remains" in str(error))
        except NotDurableError:
            world.count("append not durable")
        except LogError:
            world.count("no log to append to")
        except Died:
            world.count("writer killed in mid-write")
            self._writers[number] = LogWriter(self.path, self.disk)
        else:
            world.count("torn tail ended", by=appended.ended_torn_tail)
            world.oracle.promised(self, appended.offset, record)
        self.disk.between_pages = None
        self.disk.dying = False
        self.touched()

    def append_unlocked(self, record: bytes, *, dies: bool = False) -> None:
        """An old writer appends, without lock or sync; a reader may look when half of it is there."""
        cut = self.world.rng.randrange(len(record)) if dies or len(record) > 4096 else 0
        if cut:
            self.disk.append_unlocked(self.path, record[:cut])
            self.look()
        if not dies:
            self.disk.append_unlocked(self.path, record[cut:])
        self.touched()

    def look(self) -> None:
        """A leader happens to look just now."""
        self.world.count("read in mid-write")
        self.version += 1
        for process in self.processes:
            if process.engine is not None and process._waits:
                process.turn()

    # ------------------------------------------------------------------------------ what befalls directories

    def keep_rows(self) -> None:
        """What a power cut, or a backup of the first day, may bring back."""
        if self.first_rows is None and self.rows.standing is not None:
            self.first_rows = copied(self.rows)
        self._rows_before = [*self._rows_before[1 - ROWS_KEPT :], copied(self.rows)]

    def rows_synced(self) -> None:
        """The sidecar waited for the disk: a power cut takes nothing of it back."""
        self._rows_before = []

    def power_cut(self) -> None:
        """The machine is without power, then starts again."""
        before = self.disk.content(self.path)
        self.world.oracle.before_cut(self)
        for process in self.processes:
            process.die()
            self.world.clock.after(self.world.rng.uniform(5, 90), process.start)
        self.disk.power_cut()
        self._writers = [LogWriter(self.path, self.disk) for _ in range(WRITERS)]
        if self._rows_before and self.world.rng.random() < 0.5:
            self.rows = copied(self.world.rng.choice(self._rows_before))
        self._rows_before = []
        self.edited = self.edited or not before.startswith(self.disk.content(self.path))
        self.world.oracle.after_cut(self)
        self.touched()

    def lose_sidecar(self) -> None:
        """Somebody deletes the sidecar."""
        self.letters_lost = True
        self.rows = SidecarRows()
        self._rows_before = []
        self.touched()

    def tamper(self, content: bytes, *, same_file: bool) -> None:
        """A person, or a program of theirs, makes the log into this."""
        if same_file:
            self.disk.overwrite(self.path, content)
        else:
            again = self.world.rng.random() < 0.3
            if again:  # the number of a file is free only when nobody has it open
                for writer in self._writers:
                    writer.close()
            self.disk.replace(self.path, content, same_inode=again)
        self.world.oracle.tampered(self)
        self.touched()

    def fill_up(self) -> None:
        """The disk has almost no room left."""
        self.disk.capacity_bytes = self.disk.used_bytes + self.world.rng.randrange(600)
