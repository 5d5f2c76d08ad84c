"""Walk every state of the small world, breadth first, and judge each of them.

`walk` returns figures or raises `ViolationError` with the shortest path that leads to what is wrong. Liveness is judged
afterwards: from each state, the kind steps alone must lead to everything delivered.
"""

from __future__ import annotations

import gc
from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from replicator import actions as act
from replicator.progress import Progress

from . import rules
from .world import JITTER, Move, World, moves, normalised

KIND_STEPS_MAX = 120

State = tuple[Progress, World]


class Decide(Protocol):
    """The two functions under test; mutants have the same."""

    def next_action(self, p: Progress, now: float) -> act.Action: ...

    @property
    def advance(self) -> Callable[..., Progress]: ...


@dataclass(frozen=True, slots=True)
class Figures:
    """How large the walk was. `kind_steps` is the longest way from any state to everything delivered."""

    states: int
    transitions: int
    kind_steps: int
    outcomes: frozenset[tuple[str, str]]


class ViolationError(AssertionError):
    """Something does not hold; `path` is how one gets there."""

    def __init__(self, wrong: str, path: Iterable[str]) -> None:
        super().__init__("\n  ".join([wrong, *path]))
        self.wrong = wrong


class Walk:
    """One walk from some first states, with the decisions of `decide`."""

    def __init__(self, decide: Decide, first: Iterable[State], *, states_max: int) -> None:
        self._decide = decide
        self._states_max = states_max
        self._number: dict[State, int] = {}
        self._states: list[State | None] = []
        self._parent = array("q")
        self._label: list[str] = []
        self._kind = array("q")
        self._delivered = bytearray()
        self._outcomes: set[tuple[str, str]] = set()
        self._transitions = 0
        for state in first:
            self._reach(state, -1, "start")

    def run(self) -> Figures:
        """Walk everything; raises ViolationError."""
        collecting = gc.isenabled()
        gc.disable()  # millions of values, none in a cycle: an eighth of the time went into looking at them
        try:
            number = 0
            while number < len(self._states):
                state = self._states[number]
                assert state is not None
                self._expand(number, *state)
                self._states[number] = None
                number += 1
        finally:
            if collecting:
                gc.enable()
        return Figures(len(self._states), self._transitions, self._judge_liveness(), frozenset(self._outcomes))

    def _expand(self, number: int, p: Progress, w: World) -> None:
        action = self._next(number, p, Move("", w))
        name = type(action).__name__
        for index, move in enumerate(moves(p, w, action)):
            self._transitions += 1
            after = self._after(number, p, action, move)
            if move.outcome is not None:
                self._outcomes.add((name, type(move.outcome).__name__))
                wrong = rules.broken_step(p, action, move, after, self._next(number, after, move))
                if wrong is not None:
                    raise self._violation(wrong, number, move.label)
            w_after = move.world._replace(happened=move.world.happened | rules.jumped_far(p, after))
            reached = self._reach((normalised(after, move.took_s), w_after), number, f"{name}: {move.label}")
            if index == 0:
                self._kind[number] = reached

    def _after(self, number: int, p: Progress, action: act.Action, move: Move) -> Progress:
        if move.start is not None:
            return move.start
        if move.outcome is None:
            return p
        try:
            return self._decide.advance(p, action, move.outcome, began=0.0, now=move.took_s, jitter=JITTER)
        except Exception as error:
            raise self._violation(f"advance raised {error!r}", number, move.label) from error

    def _next(self, number: int, p: Progress, move: Move) -> act.Action:
        try:
            return self._decide.next_action(p, move.took_s)
        except Exception as error:
            raise self._violation(f"next_action raised {error!r}", number, move.label) from error

    def _reach(self, state: State, parent: int, label: str) -> int:
        number = self._number.setdefault(state, len(self._states))
        if number < len(self._states):
            return number
        self._states.append(state)
        self._parent.append(parent)
        self._label.append(label)
        self._kind.append(-1)
        self._delivered.append(rules.delivered(*state))
        wrong = rules.broken_state(*state)
        if wrong is not None:
            raise self._violation(wrong, number)
        if len(self._states) > self._states_max:
            raise self._violation(f"more than {self._states_max} states: is a counter growing?", number)
        return number

    def _judge_liveness(self) -> int:
        """The largest number of kind steps from any state to everything delivered."""
        steps = array("q", [0 if done else -1 for done in self._delivered])
        for number in range(len(steps)):
            path: list[int] = []
            here = number
            while steps[here] < 0 and len(path) <= KIND_STEPS_MAX:
                path.append(here)
                here = self._kind[here]
            if steps[here] < 0:
                way = [self._label[self._kind[place]] for place in path[:40]]
                raise self._violation("not delivered in a kind world", number, *(f"then {label}" for label in way))
            for distance, place in enumerate(reversed(path), start=steps[here] + 1):
                steps[place] = distance
        longest = max(steps)
        if longest > KIND_STEPS_MAX:
            raise self._violation(f"{longest} steps until everything is delivered", steps.index(longest))
        return longest

    def _violation(self, wrong: str, number: int, *more: str) -> ViolationError:
        path = list(more)
        while number >= 0:
            path.insert(0, self._label[number])
            number = self._parent[number]
        return ViolationError(wrong, path)
