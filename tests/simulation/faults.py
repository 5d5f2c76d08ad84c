"""Everything that can go wrong, how often, and which reactions it justifies. Each seed draws its own subset.

A fault is a function of the world. It injects one thing now, or begins an episode and plans its end. `excuses` are the
reactions that are justified once it has happened: whatever is seen without one is unjustified healing (`oracle`).
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from replicator.actions import ResetOrder
from replicator.errors import ReplicatorError
from replicator.log import LogReader
from replicator.testing import SidecarRows

from . import boxes
from .directory import Directory
from .ports import copied

if TYPE_CHECKING:
    from .network import Rule
    from .world import World

RESEND = ("resend",)
LOST_TRACK = ("resend", "jumped")
FORK = ("new_generation", "resend", "jumped")
MINUTES = (20.0, 1_200.0)
ERRNOS = (errno.EACCES, errno.EIO, errno.EMFILE)


@dataclass(frozen=True, slots=True)
class Fault:
    """`times`: about how often in a run that has it. `inject` gets the world and one of its directories."""

    name: str
    inject: Callable[[World, Directory], None]
    times: float
    excuses: tuple[str, ...] = ()
    everywhere: bool = True
    """Whether it justifies them in all directories; if not, it befalls one, and only while its log is there."""


# ------------------------------------------------------------------------------------------- disk and log


def power_cut(world: World, directory: Directory) -> None:
    """At any moment; half of the time directly behind what writers said, before anybody else looks."""
    if world.rng.random() < 0.5:
        for _ in range(world.rng.randrange(1, 4)):
            directory.append(world.records.next())
    directory.power_cut()


def writer_dies(world: World, directory: Directory) -> None:
    directory.append(world.records.next(), dies=True)


def old_writer_dies(world: World, directory: Directory) -> None:
    directory.append_unlocked(world.records.next(), dies=True)


def disk_full(world: World, directory: Directory) -> None:
    directory.fill_up()
    if world.rng.random() < 0.5:
        directory.sidecar_fails = "database or disk is full"
        directory.letters_lost = True

    def ends() -> None:
        directory.disk.capacity_bytes = None
        directory.sidecar_fails = None

    world.episode(ends, *MINUTES)


def sync_fails(world: World, directory: Directory) -> None:
    directory.sync_failed = True
    directory.disk.fail("fdatasync", errno.EIO)


def append_fails(world: World, directory: Directory) -> None:
    """The disk refuses one of an append's calls, once or for a while; what cannot be taken back is ended later."""
    call = world.rng.choice(("write", "ftruncate", "lock", "stat", "sync_directory"))
    directory.sync_failed = directory.sync_failed or call == "sync_directory"
    directory.disk.fail(call, world.rng.choice((errno.EIO, errno.ENOSPC)), times=world.rng.randrange(1, 6))
    if call == "ftruncate":
        directory.disk.capacity_bytes = directory.disk.used_bytes + world.rng.randrange(1, 600)
    directory.append(world.records.next())

    def ends() -> None:
        directory.disk._faults.pop(call, None)
        directory.disk.capacity_bytes = None

    world.episode(ends, *MINUTES)


def read_fails(world: World, directory: Directory) -> None:
    call = world.rng.choice(("open", "fstat", "pread"))
    directory.disk.fail(call, world.rng.choice(ERRNOS), times=world.rng.randrange(1, 30))
    world.episode(lambda: directory.disk._faults.pop(call, None), *MINUTES)
    directory.touched()


def log_away(world: World, directory: Directory) -> None:
    """The log is moved away for a while; what is appended meanwhile begins another file, which is then lost."""
    file = directory.disk._files.pop(directory.path, None)
    if file is None:
        return
    world.away.add(directory.name)
    directory.touched()

    def ends() -> None:
        world.away.discard(directory.name)
        directory.disk._files[directory.path] = file
        directory.touched()

    world.episode(ends, 1.0, 300.0)


def log_replaced_by_itself(world: World, directory: Directory) -> None:
    """An editor saves it unchanged, a checkout writes it again: nothing may follow from that."""
    directory.tamper(directory.disk.content(directory.path), same_file=False)


def keep_backup(world: World, directory: Directory) -> None:
    directory.backup = (directory.disk.content(directory.path), copied(directory.rows))


def log_restored(world: World, directory: Directory) -> None:
    """Yesterday's log, sidecar, or both."""
    if directory.backup is None:
        keep_backup(world, directory)
        return
    content, rows = directory.backup
    what = world.rng.choice(("log", "sidecar", "both"))
    if what != "sidecar":
        directory.tamper(content, same_file=world.rng.random() < 0.5)
    if what != "log":
        directory.letters_lost = True
        directory.rows = copied(rows)
        if world.rng.random() < 0.5:
            for process in directory.processes:
                world.restart(process)


def log_removed(world: World, directory: Directory) -> None:
    """Somebody deletes the log, and writers begin another; a power cut may come before anybody else looks."""
    directory.disk.remove(directory.path)
    world.oracle.tampered(directory)
    for _ in range(world.rng.randrange(1, 4)):
        directory.append(world.records.next())
    if world.rng.random() < 0.5:
        directory.power_cut()


def log_begun_again(world: World, directory: Directory) -> None:
    """Truncated to nothing and written again, shorter or longer."""
    lines = [world.records.next() for _ in range(world.rng.randrange(6))]
    directory.tamper(b"".join(lines), same_file=world.rng.random() < 0.5)


def tail_cut(world: World, directory: Directory) -> None:
    """A person cuts the last records off, on a line or within one."""
    content = directory.disk.content(directory.path)
    cut = world.rng.randrange(1, 2_000)
    end = max(0, len(content) - cut)
    if world.rng.random() < 0.5:
        end = content.rfind(b"\n", 0, end) + 1
    directory.tamper(content[:end], same_file=world.rng.random() < 0.5)


def tail_edited(world: World, directory: Directory) -> None:
    """The last record gets other bytes, of the same length or not."""
    content = directory.disk.content(directory.path)
    start = content.rfind(b"\n", 0, max(0, len(content) - 1)) + 1
    edited = content[start:].replace(b"x", b"y") if world.rng.random() < 0.5 else b'{"edited":1}\n'
    directory.tamper(content[:start] + edited, same_file=world.rng.random() < 0.5)


def old_record_edited(world: World, directory: Directory) -> None:
    """One byte of an old record, in place: replication goes on, and only a proof tells. Who edits may also order that
    the last records be sent again: these are the same, and yet the cloud must see that what is before them is not."""
    content = bytearray(directory.disk.content(directory.path))
    if len(content) < 10:
        return
    place = world.rng.randrange(len(content) // 2)
    if content[place] in b"\n" or content[place] == 0x7E:
        return
    content[place] = 0x7E
    directory.edited = True
    directory.tamper(bytes(content), same_file=True)
    if world.rng.random() < 0.5:
        order_again(world, directory, lambda size: max(0, size - world.rng.randrange(1, 6)))
        directory.append(world.records.next())


def sidecar_lost(world: World, directory: Directory) -> None:
    directory.lose_sidecar()
    if world.rng.random() < 0.7:
        for process in directory.processes:
            world.restart(process)


def sidecar_restored(world: World, directory: Directory) -> None:
    """The sidecar of the first day: the cloud is ahead by all that was written since."""
    if directory.first_rows is not None:
        directory.letters_lost = True
        directory.rows = copied(directory.first_rows)
        for process in directory.processes:
            world.restart(process)


def sidecar_fails(world: World, directory: Directory) -> None:
    directory.letters_lost = True  # with a process that dies before the sidecar heals, and far behind the cloud
    directory.sidecar_fails = world.rng.choice(("database is locked", "disk I/O error", "read-only database"))

    def ends() -> None:
        directory.sidecar_fails = None

    world.episode(ends, 1.0, 600.0)


def cloned(world: World, directory: Directory) -> None:
    """The directory is copied to another machine, with its ids, and both go on."""
    if len(world.directories) > 2:
        return
    clone = world.add_directory(directory.cloud, directory.identity)
    clone.endpoint, clone.key = directory.endpoint, directory.key
    clone.excused += directory.excused
    clone.edited = directory.edited
    clone.foreign = directory.foreign
    clone.sync_failed = directory.sync_failed
    clone.letters_lost = True
    content = directory.disk.content(directory.path)
    if content:
        clone.disk.replace(clone.path, content)
    clone.rows = copied(directory.rows) if world.rng.random() < 0.6 else SidecarRows()
    for process in clone.processes:
        process.start()


# ------------------------------------------------------------------------------------------- processes


def leader_dies(world: World, directory: Directory) -> None:
    """At once, or before or after one of its next steps."""
    for process in directory.processes:
        if process.engine is not None:
            kinds = ("now", "before save", "after save", "Send", "Read", "Begin", "Compare", "Checkpoint", "Beat")
            kind = world.rng.choice(kinds)
            if kind == "now":
                world.restart(process)
            else:
                process.dies_at = kind


def two_leaders(world: World, directory: Directory) -> None:
    """The lease does not work here, as on some network disks."""
    directory.lease_broken = directory.shared = True
    second = directory.processes[1]
    if world.rng.random() < 0.5:
        second.own_rows = copied(directory.rows)
        directory.letters_lost = True  # its dead letters are in a sidecar that goes away with the episode
    for process in directory.processes:
        process.start()
        process.try_to_lead()

    def ends() -> None:
        directory.lease_broken = False
        second.own_rows = None

    world.episode(ends, *MINUTES)


def clock_jumps(world: World, directory: Directory) -> None:
    world.clock.wall_jump_s += world.rng.choice((-3_600.0, 3_600.0, 365 * 86_400.0, -86_400.0))


def cursor_reset(world: World, directory: Directory) -> None:
    """A person orders that records be sent again, from a place that may lie beyond the cursor when it is read."""
    order_again(world, directory, lambda size: world.rng.choice((0, world.rng.randrange(200), size)))


def order_again(world: World, directory: Directory, from_size: Callable[[int], int]) -> None:
    """A person's order to send again from a place that `from_size` chooses, given the size of the log."""
    log = LogReader(directory.path, directory.disk)
    try:
        size = log.locate(log_id="-", offset=log.whole_end()).size
        cursor = log.locate(log_id=world.new_uuid(), size=from_size(size))
    except ReplicatorError:
        return
    world.order(directory, ResetOrder(cursor))


# ------------------------------------------------------------------------------------------- network


def weather(fate: str, chance: float) -> Callable[[World, Directory], None]:
    """An episode in which each request has this fate with up to this chance."""

    def inject(world: World, directory: Directory) -> None:
        world.network.weather[fate] = chance * world.rng.uniform(0.2, 1.0)

        def ends() -> None:
            world.network.weather.pop(fate, None)
            if world.outages_alone:  # somebody writes, who does not know how long the cloud was away
                world.clock.after(world.rng.uniform(0.0, 5.0), world.write)

        world.episode(ends, *MINUTES)

    return inject


def middle_box(make: Callable[[World], Rule]) -> Callable[[World, Directory], None]:
    """An episode in which something else answers some requests."""

    def inject(world: World, directory: Directory) -> None:
        rule = make(world)
        world.network.rules.append(rule)

        def ends() -> None:
            if rule in world.network.rules:
                world.network.rules.remove(rule)

        world.episode(ends, *MINUTES)

    return inject


LINE_BYTES_PER_S = (1_500.0, 4_000.0, 10_000.0)
HOLES_BYTES = (1_500, 6_000, 70_000)
"""The longest record passes the slowest line in time, and the largest hole."""


def slow_line(world: World, directory: Directory) -> None:
    """The uplink carries little; half of the time for ever. Much waits for it."""
    if world.line_stays:
        return
    world.network.bytes_per_s = world.rng.choice(LINE_BYTES_PER_S)
    if not world.records.large:  # each record passes within it: a hop that is less patient than the cloud
        world.network.bytes_per_s, world.network.deadline_s = LINE_BYTES_PER_S[0], 4.0
    if directory.name not in world.away:
        for _ in range(150):
            directory.append(world.records.next())
    if world.rng.random() < 0.5:
        world.line_stays = True
        return

    def ends() -> None:
        if not world.line_stays:
            world.network.bytes_per_s = None

    world.episode(ends, *MINUTES)


def mtu_hole(world: World, directory: Directory) -> None:
    """Large requests are swallowed, small ones pass; one that lets each record pass may stay for ever."""
    if world.hole_stays:
        return
    world.network.hole_bytes = world.rng.choice(HOLES_BYTES)
    if world.network.hole_bytes == HOLES_BYTES[-1]:
        world.hole_stays = True
        return

    def ends() -> None:
        if not world.hole_stays:
            world.network.hole_bytes = None

    world.episode(ends, *MINUTES)


# ------------------------------------------------------------------------------------------- cloud and keys


def cloud_dies(world: World, directory: Directory) -> None:
    cloud = directory.cloud
    how = world.rng.choice(("now", "dies", "dies after"))
    if how == "now":
        cloud.die()
    else:
        cloud.store.fate = how
    for delay_s in (world.rng.uniform(1, 120), 600.0):
        world.clock.after(delay_s, cloud.rise)


def transaction_fails(world: World, directory: Directory) -> None:
    directory.cloud.store.fate = f"fails:{world.rng.randrange(20, 2_000)}"


def cloud_restored(world: World, directory: Directory) -> None:
    cloud = directory.cloud
    if not cloud.backups or world.rng.random() < 0.3:
        cloud.back_up()
        return
    cloud.restore()


def failover(world: World, directory: Directory) -> None:
    """The cloud's standby takes over without the last commits, few or many: a client is ahead by so much."""
    cloud = directory.cloud
    cloud.back_up()
    cloud.falls_over_after = world.rng.choice((1, 1, 1, 2, 3, 10))


def cloud_emptied(world: World, directory: Directory) -> None:
    directory.cloud.lose_everything()


def budget_spent(world: World, directory: Directory) -> None:
    """A script of the user's own posts to the brain as fast as it may: for seconds nothing is left of its budget."""
    limiter, brain_id = directory.cloud._requests, directory.identity.brain_id
    until_s = world.clock.now_s + world.rng.uniform(2, 20)

    def posts() -> None:
        while limiter.admit(brain_id).passed:
            pass
        if world.clock.now_s < until_s and not world.healing:
            world.clock.after(0.05, posts)

    posts()
    if directory.name not in world.away:  # else it would begin another log, and nobody could tell why
        directory.append(world.records.next())


def rows_lost(world: World, directory: Directory) -> None:
    """Found by a check only; sent again only if somebody asks, or by chance (issue 4 mends it)."""
    world.oracle.rows_lost(directory.cloud, directory.cloud.lose_rows(world.rng.randrange(1, 5)))


def key_revoked(world: World, directory: Directory) -> None:
    """The key is worth nothing any more; a person brings a new one after a while."""
    if directory.key is None:
        return
    revoked = directory.key
    directory.cloud.revoke(revoked)

    def ends() -> None:
        for other in world.directories:  # clones that were made meanwhile, too
            if other.key == revoked:
                world.bring_key(other)

    world.episode(ends, *MINUTES)


def key_missing(world: World, directory: Directory) -> None:
    directory.key = None

    def ends() -> None:
        for other in world.directories:
            if other.key is None:
                world.bring_key(other)

    world.episode(ends, *MINUTES)


def cloud_moved(world: World, directory: Directory) -> None:
    """The same cloud at another address; the programs start again with it."""
    directory.endpoint = f"https://{world.new_uuid()[:8]}.example/api/v1"
    world.restart_all(directory)


def other_cloud(world: World, directory: Directory) -> None:
    """Another cloud at another address: nothing is uploaded there before a person confirms."""
    if len(world.clouds) > 1:
        return
    directory.endpoint = "https://other.example/api/v1"
    directory.cloud = world.add_cloud()
    directory.foreign = directory.rows.standing is not None and directory.rows.standing.cloud_id is not None
    world.bring_key(directory)
    world.restart_all(directory)


FAULTS: tuple[Fault, ...] = (
    Fault("power cut", power_cut, 4, LOST_TRACK, everywhere=False),
    Fault("writer dies", writer_dies, 6, everywhere=False),
    Fault("old writer dies", old_writer_dies, 6, everywhere=False),
    Fault("disk full", disk_full, 2, ("sidecar", "log_unreadable", *LOST_TRACK), everywhere=False),
    Fault("sync fails", sync_fails, 4, FORK, everywhere=False),
    Fault("append fails", append_fails, 4, everywhere=False),
    Fault("read fails", read_fails, 4, ("log_unreadable",), everywhere=False),
    Fault("log away", log_away, 2, ("log_unreadable",), everywhere=False),
    Fault("log replaced by itself", log_replaced_by_itself, 4, everywhere=False),
    Fault("log restored", log_restored, 3, FORK, everywhere=False),
    Fault("log removed", log_removed, 1, FORK, everywhere=False),
    Fault("log begun again", log_begun_again, 1, FORK, everywhere=False),
    Fault("tail cut", tail_cut, 2, FORK, everywhere=False),
    Fault("tail edited", tail_edited, 2, FORK, everywhere=False),
    Fault("old record edited", old_record_edited, 1, ("reset", *FORK), everywhere=False),
    Fault("sidecar lost", sidecar_lost, 3, LOST_TRACK, everywhere=False),
    Fault("sidecar restored", sidecar_restored, 3, LOST_TRACK, everywhere=False),
    Fault("sidecar fails", sidecar_fails, 4, ("sidecar", *LOST_TRACK), everywhere=False),
    Fault("cloned", cloned, 1, ("throttled", *FORK)),
    Fault("leader dies", leader_dies, 12, ("throttled", *LOST_TRACK)),
    Fault("two leaders", two_leaders, 2, ("throttled", *LOST_TRACK)),
    Fault("clock jumps", clock_jumps, 4),
    Fault("cursor reset", cursor_reset, 4, ("reset", "resend")),
    Fault("request lost", weather("lost", 0.5), 4, ("unavailable",)),
    Fault("answer lost", weather("answer lost", 0.5), 4, ("unavailable", *RESEND)),
    Fault("request late", weather("late", 0.5), 4, ("unavailable", *RESEND)),
    Fault("answer slow", weather("slow", 0.6), 4),
    Fault("request doubled", weather("doubled", 0.8), 4),
    Fault("connection refused", weather("refused", 1.0), 4, ("unavailable",)),
    Fault("answer garbled", weather("garbled", 0.7), 3, ("unavailable", "disagreement", *RESEND)),
    Fault("captive portal", middle_box(boxes.portal), 2, ("unavailable", "disagreement")),
    Fault("small proxy", middle_box(boxes.small_proxy), 2, ("refusing", "malformed")),
    Fault("fire wall", middle_box(boxes.fire_wall), 2, ("refusing", "malformed")),
    Fault("stranger refuses", middle_box(boxes.stranger), 3, ("refusing", "malformed")),
    Fault("cloud quarrels", middle_box(boxes.quarrels), 2, ("disagreement", "unavailable", *FORK)),
    Fault("slow line", slow_line, 3, ("unavailable",)),
    Fault("mtu hole", mtu_hole, 3, ("unavailable",)),
    Fault("refuses all", middle_box(boxes.refuses_all), 1, ("refusing", "malformed", "disagreement", "unavailable")),
    Fault("throttled", middle_box(boxes.throttles), 2, ("throttled",)),
    Fault("server errors", middle_box(boxes.unavailable), 3, ("unavailable",)),
    Fault("misconfigured", middle_box(boxes.misconfigured), 2, ("misconfigured",)),
    Fault("proxy denies", middle_box(boxes.answers(403, "forbidden")), 1, ("denied",)),
    Fault("too old", middle_box(boxes.answers(426, "schema_unsupported")), 1, ("too_old",)),
    Fault("brain deleted", middle_box(boxes.deleted), 1, ("gone",)),
    Fault("cloud dies", cloud_dies, 6, ("unavailable", *RESEND)),
    Fault("transaction fails", transaction_fails, 6, ("unavailable",)),
    Fault("cloud restored", cloud_restored, 4, ("unavailable", "held", "rewound", "cloud_changed", *LOST_TRACK)),
    Fault("cloud falls over", failover, 4, ("unavailable", "held", "rewound", "cloud_changed", *LOST_TRACK)),
    Fault("cloud emptied", cloud_emptied, 1, ("unavailable", "held", "rewound", "cloud_changed", *LOST_TRACK)),
    Fault("budget spent", budget_spent, 2, ("throttled",)),
    Fault("rows lost", rows_lost, 2),
    Fault("key revoked", key_revoked, 2, ("denied",)),
    Fault("key missing", key_missing, 2, ("no_key",)),
    Fault("cloud moved", cloud_moved, 1, LOST_TRACK),
    Fault("other cloud", other_cloud, 0.5, ("held", "rewound", "cloud_changed", *LOST_TRACK)),
)
