"""Bugs seeded on purpose into `progress`: each must be found by the walk or by the scenarios.

A mutant is a source replacement that must match exactly once, so that none of them rots silently. `faults` is the
budget within which the walk finds it; None: the scenarios find it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from replicator import engine, progress
from tests.scenarios.script import regenerate
from tests.scenarios.test_scenarios import SCRIPTS

from .logs import LOGS, first_state
from .walk import ViolationError, Walk

STATES_MAX = 2_000_000


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
        '        return _refused_alone(p, load, Refusal(load.first, "refused", refused.detail), refused.status, now)',
        "        return replace(p, standing=replace(p.standing, cursor=Cursor(p.cursor.log_id, load.end, p.after, None,"
        " Anchor.of(load.last))))",
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
        '            return _pause(p, Trouble("denied" if status else withheld, detail or code, status), now)',
        "            return replace(p, load=None, caught_up=True)",
        log="empty",
        cheap=True,
    ),
    Mutant(
        "nothing wakes a paused client that has nothing to send",
        "or p.moved or (p.paused and p.caught_up):",
        "or p.moved:",
        faults=None,
    ),
    Mutant(
        "broken evidence is overlooked",
        "            return _new_generation(replace(p, log_trouble=None), reason)",
        "            return replace(p, caught_up=True)",
        log="empty",
        faults=2,
    ),
    Mutant(
        "an error of the operating system begins a new generation",
        "    return replace(p, log_trouble=failed, load=None, caught_up=True)",
        "    return _new_generation(p, failed.code)",
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
        "    if known not in (None, cloud_id) and p.moved:",
        "    if False:",
        log="empty",
        cheap=True,
    ),
    Mutant(
        "records go before the heartbeat at another address",
        "    if now >= p.beat_at or p.moved or (p.paused and p.caught_up):",
        "    if now >= p.beat_at + 1.0 or (p.paused and p.caught_up):",
        log="plain",
    ),
    Mutant(
        "a brain deleted on purpose is probed",
        "    if p.trouble is not None and p.trouble.stops:\n        return act.Wait(timer)\n",
        "",
        log="empty",
        cheap=True,
    ),
    Mutant(
        "records refused together are dead letters together",
        "    if load.count == 1:\n        return _refused_alone(p, load, Refusal(",
        "    if load.count >= 1:\n        return _refused_alone(p, load, Refusal(",
        log="poison",
        faults=0,
        cheap=True,
    ),
    Mutant(
        "dead letters are dropped with the checkpoint that failed",
        "            return replace(p, save_failures=failures, save_not_before=now + delay_s, save_trouble=detail)",
        "            return replace(p, dead_letters=(), save_failures=failures, save_not_before=now + delay_s)",
        faults=None,
    ),
    Mutant(
        "a dead letter is not saved with the cursor that passed it",
        "        return act.Checkpoint(p.standing, p.dead_letters, p.reset_id)",
        "        return act.Checkpoint(p.standing, (), p.reset_id)",
        log="poison",
        faults=0,
        cheap=True,
    ),
    Mutant(
        "a record that was refused alone is sent with its bytes for ever",
        "else (load.first, *(number for number in named if number > load.first))",
        "else named",
        log="poison",
        faults=1,
        cheap=True,
    ),
    Mutant(
        "a record that was named is passed without being sent alone",
        "    unsettled = () if isinstance(load, Hole) else load.holes if p.refusal is None else load.holes[1:]",
        "    unsettled = ()",
        log="poison",
        faults=0,
        cheap=True,
    ),
    Mutant(
        "a record that was named is a dead letter at once",
        "    if load.holes and p.refusal is not None:\n        whys.insert(0, p.refusal)",
        '    whys += [Refusal(number, "refused") for number in load.holes]',
        log="poison",
        faults=0,
        cheap=True,
    ),
    Mutant(
        "an order is carried out again and again",
        "    if reset is None or (reset.id and reset.id == p.reset_id):",
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
        "    if isinstance(action, act.Compare):\n        return replace(p, log_trouble=failed, not_before=",
        "    if isinstance(action, act.Compare):\n        return replace(p, log_trouble=failed, compare=(),"
        " not_before=",
        log="empty",
        faults=2,
    ),
    Mutant(
        "a throttled client asks again at once",
        "    return replace(p, load=None, not_before=until)",
        "    return replace(p, load=None)",
        log="empty",
        cheap=True,
    ),
    Mutant(
        "the wait after a failure is none",
        "        not_before=now + max(delay_s, at_least_s),",
        "        not_before=now,",
        log="empty",
        cheap=True,
    ),
    Mutant(
        "a heartbeat that is answered ends the backoff of batches that are not",
        "    p = _flowing(p) if p.caught_up else replace(p, heard=p.trouble is not None)",
        "    p = _flowing(p)",
        faults=None,
    ),
    Mutant(
        "the cloud's loss of its tail goes unnoticed",
        "    return replace(p, compare=(head,), load=None)\n\n\ndef _mismatched",
        "    return replace(p, compare=(head,) if head.size > p.cursor.size else (), load=None)\n\n\ndef _mismatched",
        log="empty",
        faults=2,
    ),
    Mutant(
        "a log cut off behind an old cursor goes unnoticed",
        '    if resend is not None:\n        return _new_generation(p, f"the log ends',
        '    if resend is None and False:\n        return _new_generation(p, f"the log ends',
        log="plain",
        faults=2,
    ),
    Mutant(
        "one refused record counts twice, and the log stands still",
        "        refused_in_a_row=p.refused_in_a_row + (p.refusal is not None),",
        "        refused_in_a_row=p.refused_in_a_row + 1,",
        log="two bad ones",
        faults=0,
        cheap=True,
    ),
    Mutant(
        "the third record refused in a row is a dead letter like the others",
        "    if p.refused_in_a_row + 1 >= p.policy.refused_in_a_row_max:",
        "    if False:",
        faults=None,
    ),
    Mutant(
        "a record that took the place of the refused one is a dead letter",
        "if p.refusal is not None and leaves[0] != p.refused_leaf:",
        "if False:",
        log="sly poison",
        cheap=True,
    ),
)


def mutated(mutant: Mutant) -> ModuleType:
    """`progress` with the bug in it, as a module of its own."""
    source = Path(progress.__file__).read_text(encoding="utf-8")
    found = source.count(mutant.old)
    assert found == 1, f"{mutant.name}: its source is found {found} times; progress was changed, change the mutant too"
    module = ModuleType("mutated_progress")
    sys.modules[module.__name__] = module  # dataclasses look their module up by name
    try:
        exec(compile(source.replace(mutant.old, mutant.new), "mutated_progress.py", "exec"), module.__dict__)
    finally:
        del sys.modules[module.__name__]
    return module


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
