"""The faults. Each is one function that returns a description; it does not repair anything."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass

from gradata.trials.torture.environment import Stage
from gradata.trials.torture.mounts import freeze
from replicator.lease import Lease, lease_path
from replicator.testing import chaos

NETWORKS = (
    ("answers are cut after 40 bytes", chaos.cut_answer(40)),
    ("answers are cut before their first byte", chaos.cut_answer(0)),
    ("connections are reset", chaos.reset()),
    ("a black hole", chaos.black_hole()),
    ("garbage instead of answers", chaos.garbage()),
    ("200 ms more each way", chaos.latency(0.2)),
    ("one byte of the answer in 50 ms", chaos.drip(0.05)),
)
KEYLESS_S = (0.5, 3.0)
FULL_S = (0.3, 1.5)
_PAUSE = threading.Event()
"""Never set: used to wait for the duration of a fault."""


@dataclass(frozen=True, slots=True)
class Act:
    """One kind of fault. `weight`: relative frequency; `possible`: whether this environment allows it."""

    name: str
    weight: int
    do: Callable[[Stage, random.Random], str]
    possible: Callable[[Stage], bool] = lambda _: True


def kill_writer(stage: Stage, dice: random.Random) -> str:
    """Kill one writer at a random moment and restart it."""
    victim = dice.choice(stage.writers)
    victim.kill()
    victim.start()
    return victim.name


def kill_leader(stage: Stage, _: random.Random) -> str:
    """Kill the present leader."""
    holder = Lease.holder(lease_path(f"{stage.brain_dir}/events.jsonl"))
    leaders = [actor for actor in stage.actors if holder is not None and actor.pid == holder.pid]
    victim = leaders[0] if leaders else stage.follower
    victim.kill()
    victim.start()
    return victim.name


def kill_cloud(stage: Stage, dice: random.Random) -> str:
    """Kill the server, start it again after a moment."""
    stage.cloud.kill()
    _PAUSE.wait(dice.uniform(0.0, 1.0))
    stage.start_cloud()
    return "the server"


def kill_several(stage: Stage, dice: random.Random) -> str:
    """Kill several at once."""
    victims = dice.sample([stage.cloud, *stage.actors], dice.randint(2, 4))
    for victim in victims:
        victim.kill()
    for victim in victims:
        if victim is stage.cloud:
            stage.start_cloud()
        else:
            victim.start()
    return ", ".join(victim.name for victim in victims)


def bend_network(stage: Stage, dice: random.Random) -> str:
    """Disturb the network until the next such fault, or repair it."""
    assert stage.chaos is not None
    if stage.chaos.fault != chaos.NONE:
        stage.chaos.fault = chaos.NONE
        stage.chaos.cut()
        return "itself again"
    name, stage.chaos.fault = dice.choice(NETWORKS)
    return name


def back_up_cloud(stage: Stage, _: random.Random) -> str:
    """Take a backup of the cloud's store."""
    stage.back_up()
    return "taken"


def roll_back_cloud(stage: Stage, _: random.Random) -> str:
    """Restore the last backup of the cloud's store: it loses what came since, including keys."""
    stage.roll_back()
    return "an older copy is in its place"


def rotate_key(stage: Stage, dice: random.Random) -> str:
    """Revoke the key at once; the new one reaches the key file later."""
    new = stage.rotate_key(0.0)
    away_s = dice.uniform(*KEYLESS_S)
    _PAUSE.wait(away_s)
    stage.keep_key(new)
    return f"no valid key for {away_s:.1f} s"


def fill_disk(stage: Stage, dice: random.Random) -> str:
    """Fill the brain's disk, then free it."""
    full_s = dice.uniform(*FULL_S)
    stage.brain_place.fill()
    _PAUSE.wait(full_s)
    stage.brain_place.free()
    return f"not a byte left for {full_s:.1f} s"


def cut_brain(stage: Stage, _: random.Random) -> str:
    """Cut the power of the brain's machine; all its processes die and are restarted."""
    freeze(actor.pid for actor in stage.actors if actor.pid is not None)
    stage.brain_place.cut()
    for actor in stage.actors:
        actor.kill()
    stage.brain_place.restore()
    for actor in stage.actors:
        actor.start()
    return "the brain's disk"


def cut_cloud(stage: Stage, _: random.Random) -> str:
    """Cut the power of the cloud's machine."""
    freeze([stage.cloud.pid] if stage.cloud.pid is not None else [])
    stage.cloud_place.cut()
    stage.cloud.kill()
    stage.cloud_place.restore()
    stage.start_cloud()
    return "the cloud's disk"


ACTS = (
    Act("kill a writer", 3, kill_writer),
    Act("kill who replicates", 4, kill_leader),
    Act("kill the cloud", 2, kill_cloud),
    Act("kill several", 2, kill_several),
    Act("the network", 6, bend_network),
    Act("a backup of the cloud", 1, back_up_cloud),
    Act("the cloud is rolled back", 1, roll_back_cloud, lambda stage: stage.backup is not None),
    Act("the key is rotated", 1, rotate_key),
    Act("the disk is full", 1, fill_disk, lambda stage: stage.brain_place.can_fill),
    Act("a power cut", 2, cut_brain, lambda stage: stage.brain_place.can_cut),
    Act("a power cut of the cloud", 1, cut_cloud, lambda stage: stage.cloud_place.can_cut),
)


def choose(stage: Stage, dice: random.Random) -> Act:
    """The next act."""
    possible = [act for act in ACTS if act.possible(stage)]
    return dice.choices(possible, [act.weight for act in possible])[0]
