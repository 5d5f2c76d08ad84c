"""What this process left of the brains and logs that it wrote to: the next batch of them needs not be asked about.

A log in use is continued again and again, nearly always through the same process. So a group in which every batch
continues its log as it was left is decided by what is remembered, and goes to the database in one round trip, where
`gradata.hold_group` checks it all under the locks before it writes. If anything turns out to be otherwise nothing
is written, and the group goes the general way (`facts.gather`), from which the truth is remembered.

Event ids are taken to be new, which their unique index confirms. A log whose last batch was not wholly new is not
remembered: a client that sends again what is there would run into the index each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gradata.cloud.domain.plan import Decision, Done, LogFacts, StoredFacts
from gradata.cloud.domain.requests import Append, Lines, WriteRequest
from gradata.cloud.store.postgres.facts import Locked, LockedBrain

REMEMBERED_MAX = 4_096


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What is expected to be stored. `keys` and `events`: of the brains, in the order in which they are locked."""

    requests: Sequence[Append]
    locked: Locked
    facts: StoredFacts
    keys: list[int]
    events: list[int]


@dataclass(slots=True)
class HeadCache:
    """The brains and logs that the last groups touched, as their commits left them."""

    brains: dict[str, LockedBrain] = field(default_factory=dict)
    logs: dict[tuple[str, str], tuple[int, LogFacts]] = field(default_factory=dict)

    def foresee(self, requests: Sequence[WriteRequest]) -> Foreseen | None:
        """What the database is going to say of this group; None if that is not known, or not simple."""
        brains: dict[str, LockedBrain] = {}
        keys: dict[tuple[str, str], int] = {}
        facts: dict[tuple[str, str], LogFacts] = {}
        appends: list[Append] = []
        for request in requests:
            if not isinstance(request, Append) or not isinstance(request.load, Lines):
                return None
            name = request.brain_id, request.log_id
            log = self.logs.get(name)
            brain = self.brains.get(request.brain_id)
            if brain is None or log is None or request.first != log[1].tree.size:
                return None
            keys[name], facts[name] = log
            brains[request.brain_id] = brain
            appends.append(request)
        ordered = dict(sorted(brains.items()))  # str sorts by code point, as "C" does for UTF-8
        workspaces = {name: brain.workspace for name, brain in ordered.items()}
        rows = list(ordered.values())
        return Foreseen(
            appends,
            Locked(ordered, keys),
            StoredFacts(workspaces, facts, {}),
            [row.key for row in rows],
            [row.events for row in rows],
        )

    def keep(self, requests: Sequence[WriteRequest], decisions: Sequence[Decision], locked: Locked) -> None:
        """All of this was committed."""
        if max(len(self.logs), len(self.brains)) > REMEMBERED_MAX:
            self.forget()
        for request, decision in zip(requests, decisions, strict=True):
            brain = locked.brains[request.brain_id]
            if isinstance(decision, Done) and not brain.erased:
                self.brains[request.brain_id] = brain
            else:
                self.brains.pop(request.brain_id, None)
            if isinstance(request, Append):
                name = request.brain_id, request.log_id
                if isinstance(decision, Done) and decision.accepted == request.count:
                    self.logs[name] = locked.logs[name], LogFacts(decision.tree, decision.offset, decision.event_id)
                else:
                    self.logs.pop(name, None)

    def forget(self) -> None:
        """Nothing is known."""
        self.brains.clear()
        self.logs.clear()
