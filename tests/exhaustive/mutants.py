"""Bugs seeded on purpose into `progress`: each must be found by the walk or by the scenarios.

A mutant is a source replacement that must match exactly once, so that none of them rots silently. `faults` is the
budget within which the walk finds it; None: the scenarios find it.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

from replicator import engine, progress
from tests.scenarios.script import regenerate
from tests.scenarios.test_scenarios import SCRIPTS

from .logs import LOGS, first_state
from .walk import ViolationError, Walk

STATES_MAX = 2_000_000
PACKAGE = "mutated_progress"


@dataclass(frozen=True, slots=True)
class Mutant:
    """One bug: what it would mean, and how to make it."""

    name: str
    old: str
    new: str
    log: str = "plain"
    """The log whose walk finds it."""
    faults: int | None = 1
    cheap: bool = False
    """Found within a second or so: tried in each test run."""


MUTANTS = (
    Mutant(
        "the cursor goes past a batch that was refused as a whole",
        "        return condemn(p, load, alone, answer.status, now)",
        "        from replicator.model import Anchor, Cursor\n"
        "        return replace(p, standing=replace(p.standing, cursor=Cursor(p.cursor.log_id, load.end,"
        " p.load_tree, None, Anchor.of(load.last))))",
        log="poison",
        faults=0,
        cheap=True,
    ),
    Mutant(
        "an answer whose root is not ours is an ack",
        "    if ack.head.tree_head != mine and not passing:",
        "    if False:",
        log="empty",
    ),
    Mutant(
        "a head behind what was sent is an ack",
        "    if ack.head.log_id != before.log_id or ack.head.size < mine.size:",
        "    if False:",
        log="empty",
        faults=2,
    ),
    Mutant(
        "401 is taken for the records' fault, and they are skipped",
        '            return pause(p, Trouble("denied" if status else withheld, detail or code, status), now)',
        "            return replace(p, load=None, caught_up=True)",
        log="empty",
        cheap=True,
    ),
    Mutant(
        "nothing wakes a paused client that has nothing to send",
        "or p.endpoint_changed or (p.paused and p.caught_up):",
        "or p.endpoint_changed:",
        faults=None,
    ),
    Mutant(
        "broken evidence is overlooked",
        "            return new_generation(replace(p, log_trouble=None), reason, now, jitter)",
        "            return replace(p, caught_up=True)",
        log="empty",
        faults=2,
    ),
    Mutant(
        "an error of the operating system begins a new generation",
        "    return replace(p, log_trouble=failed, load=None, caught_up=True)",
        "    return new_generation(p, failed.code, now, 0.5)",
        log="empty",
        cheap=True,
    ),
    Mutant(
        "a new generation keeps the old cursor",
        "    standing = Standing(Cursor(log_id, parent=action.parent), cloud_id, endpoint)",
        "    here = Cursor(log_id) if p.standing is None else replace(p.cursor, log_id=log_id)\n"
        "    standing = Standing(here, cloud_id, endpoint)",
        log="empty",
        faults=2,
    ),
    Mutant(
        "a cloud ahead is jumped to, and with it over dead letters that nobody wrote down",
        "    return ahead <= p.limits.records and (",
        "    return False and (",
        log="poison",
        cheap=True,
    ),
    Mutant(
        "records go to another cloud at another address",
        "    if another and p.endpoint_changed:",
        "    if False:",
        log="empty",
        cheap=True,
    ),
    Mutant(
        "records go before the heartbeat at another address",
        "    if now >= p.heartbeat.due_at or p.endpoint_changed or (p.paused and p.caught_up):",
        "    if now >= p.heartbeat.due_at + 1.0 or (p.paused and p.caught_up):",
        log="plain",
    ),
    Mutant(
        "a brain deleted on purpose is probed",
        "    if p.stopped:\n        return act.Wait(timer)\n",
        "",
        log="empty",
        cheap=True,
    ),
    Mutant(
        "records refused together are dead letters together",
        '    if load.count == 1:\n        alone = Refusal(load.first, "refused"',
        '    if load.count >= 1:\n        alone = Refusal(load.first, "refused"',
        log="poison",
        faults=0,
        cheap=True,
    ),
    Mutant(
        "dead letters are dropped with the checkpoint that failed",
        "    return replace(p, saving=replace(p.saving, failures=failures, not_before=now + delay_s, trouble=detail))",
        "    return replace(p, saving=replace(p.saving, dead_letters=(), failures=failures, not_before=now + delay_s))",
        faults=None,
    ),
    Mutant(
        "a dead letter is not saved with the cursor that passed it",
        "        return act.Checkpoint(p.standing, p.saving.dead_letters, p.saving.reset_id)",
        "        return act.Checkpoint(p.standing, (), p.saving.reset_id)",
        log="poison",
        faults=0,
        cheap=True,
    ),
    Mutant(
        "a record that was refused alone is sent with its bytes for ever",
        "else (load.first, *(number for number in left_out if number > load.first))",
        "else left_out",
        log="poison",
        faults=1,
        cheap=True,
    ),
    Mutant(
        "a record that was named is passed without being sent alone",
        "    unsettled = () if isinstance(load, Hole) else load.holes if refusal is None else load.holes[1:]",
        "    unsettled = ()",
        log="poison",
        faults=0,
        cheap=True,
    ),
    Mutant(
        "a record that was named is a dead letter at once",
        "    if load.holes and refusal is not None:\n        whys.insert(0, refusal)",
        '    whys += [Refusal(number, "refused") for number in load.holes]',
        log="poison",
        faults=0,
        cheap=True,
    ),
    Mutant(
        "an order is carried out again and again",
        "    if reset is None or (reset.id and reset.id == p.saving.reset_id):",
        "    if reset is None:",
        log="empty",
        faults=2,
    ),
    Mutant(
        "an order moves the cursor forward",
        "    if there.size >= p.cursor.size:\n",
        "    if False:\n",
        log="plain",
        cheap=True,
    ),
    Mutant(
        "a comparison is forgotten when the log cannot be read",
        "        return replace(p, log_trouble=failed, retry=",
        "        return replace(p, log_trouble=failed, compare=(), retry=",
        log="empty",
        faults=2,
    ),
    Mutant(
        "a throttled client asks again at once",
        "    return replace(p, load=None, retry=waiting)",
        "    return replace(p, load=None)",
        log="empty",
        cheap=True,
    ),
    Mutant(
        "the wait after a failure is none",
        "delay_s=max(delay_s, at_least_s))",
        "delay_s=0.0)",
        log="empty",
        cheap=True,
    ),
    Mutant(
        "a heartbeat that is answered ends the backoff of batches that are not",
        "    p = flowing(p) if p.caught_up else _answered(p)",
        "    p = flowing(p)",
        faults=None,
    ),
    Mutant(
        "the cloud's loss of its tail goes unnoticed",
        "    return replace(p, compare=(head,), load=None)\n\n\ndef _answered",
        "    return replace(p, compare=(head,) if head.size > p.cursor.size else (), load=None)\n\n\ndef _answered",
        log="empty",
        faults=2,
    ),
    Mutant(
        "a log cut off behind an old cursor goes unnoticed",
        '    if resend is not None:\n        why = f"the log ends',
        '    if resend is None and False:\n        why = f"the log ends',
        log="plain",
        faults=2,
    ),
    Mutant(
        "one refused record counts twice, and the log stands still",
        "    refused_in_a_row = p.isolation.refused_in_a_row + (p.isolation.refusal is not None)\n",
        "    refused_in_a_row = p.isolation.refused_in_a_row + 1\n",
        log="two bad ones",
        faults=0,
        cheap=True,
    ),
    Mutant(
        "the third record refused in a row is a dead letter like the others",
        "    if isolation.refused_in_a_row + 1 >= p.policy.refused_in_a_row_max:",
        "    if False:",
        faults=None,
    ),
    Mutant(
        "a record that took the place of the refused one is a dead letter",
        "if isolation.refusal is not None and leaves[0] != isolation.refused_leaf:",
        "if False:",
        log="sly poison",
        cheap=True,
    ),
    Mutant(
        "a batch that broke off is sent again as it was",
        "            p = broke_off(p, action) if cut else p\n",
        "",
        log="small hop",
        faults=0,
        cheap=True,
    ),
    Mutant(
        "a batch that broke off is halved only once",
        "    half = max(policy.batch_bytes_min, min(sizing.line_bytes, size // 2))",
        "    half = policy.batch_bytes_first // 2 + 2",
        log="small hop",
        faults=0,
        cheap=True,
    ),
    Mutant(
        "a page of a proxy condemns a record",
        "    if count >= p.policy.foreign_refusals_max:",
        "    if True:",
        log="empty",
        cheap=True,
    ),
    Mutant(
        "a record that a proxy refused is tried again at once",
        '    return pause(replace(p, isolation=isolation), Trouble("refusing", why.detail, status), now)',
        "    return replace(p, isolation=isolation)",
        log="empty",
        cheap=True,
    ),
    Mutant(
        "a cloud that is never content gets ever new generations",
        "    if count >= policy.generations_max:",
        "    if False:",
        log="plain",
        faults=2,
    ),
    Mutant(
        "batches stay small wherever the cursor goes",
        "return replace(p, load=None, isolation=Isolation(), sizing=elsewhere)",
        "return replace(p, load=None, isolation=Isolation())",
        faults=None,
    ),
    Mutant(
        "an append does not shorten the wait for a cloud that is away",
        "        p = replace(p, appended_at=now, retry=sooner)",
        "        p = replace(p, appended_at=now)",
        faults=None,
    ),
    Mutant(
        "an append shortens the wait that the cloud asked for",
        "append_not_before=now + max(at_least_s, min(delay_s, soon_s))",
        "append_not_before=now + min(delay_s, soon_s)",
        faults=None,
    ),
)


def mutated(mutant: Mutant) -> ModuleType:
    """`progress` with the bug in it, as a package of its own."""
    sources = {path.name: path.read_text(encoding="utf-8") for path in Path(progress.__file__).parent.glob("*.py")}
    found = sum(source.count(mutant.old) for source in sources.values())
    assert found == 1, f"{mutant.name}: its source is found {found} times; progress was changed, change the mutant too"
    with TemporaryDirectory(prefix="mutant-") as place:
        Path(place, PACKAGE).mkdir()
        for name, source in sources.items():
            changed = source.replace(mutant.old, mutant.new).replace(progress.__name__, PACKAGE)
            Path(place, PACKAGE, name).write_text(changed, encoding="utf-8")
        sys.path.insert(0, place)
        try:
            importlib.invalidate_caches()
            return importlib.import_module(PACKAGE)
        finally:
            sys.path.remove(place)
            for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
                del sys.modules[name]


def found_by_walk(mutant: Mutant) -> str | None:
    """What the walk says about the mutant; None: it found nothing."""
    module = mutated(mutant)
    assert mutant.log in LOGS
    first = first_state(mutant.log, faults=mutant.faults or 0, kind=module.Progress)
    try:
        Walk(module, [first], states_max=STATES_MAX).run()
    except ViolationError as violation:
        return violation.wrong
    return None


def found_by_scenario(mutant: Mutant) -> str | None:
    """The first scenario that prints something else, or fails, with the mutant; None: none does."""
    with _installed(mutated(mutant)):
        for script in SCRIPTS:
            text = script.read_text(encoding="utf-8")
            try:
                same = regenerate(text) == text
            except AssertionError:
                same = False
            if not same:
                return f"scenario {script.stem}"
    return None


@contextmanager
def _installed(module: ModuleType) -> Iterator[None]:
    """Let the engine decide by another module, for a while."""
    names = ("Progress", "advance", "next_action")
    before = {name: getattr(engine, name) for name in names}
    for name in names:
        setattr(engine, name, getattr(module, name))
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(engine, name, value)


def found_by(mutant: Mutant) -> str | None:
    """Who finds the mutant, and what is said."""
    return found_by_scenario(mutant) if mutant.faults is None else found_by_walk(mutant)
