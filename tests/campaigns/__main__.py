"""Run one campaign: `python -m tests.campaigns NAME [OPTION…]`; without a name, list them.

Each campaign has options of its own (`--help`), prints figures, and exits with 0 if everything held.
"""

from __future__ import annotations

import importlib
import sys

CAMPAIGNS = {
    "bad_day": (
        "tests.campaigns.bad_day",
        "a fleet and servers that are killed, then every record is counted",
    ),
    "backlog_memory": ("tests.campaigns.backlog_memory", "whether memory levels off over many equal backlogs"),
    "embedding": ("tests.campaigns.embedding", "real programs that embed a brain: gunicorn, celery, gevent and others"),
    "exhaustive": ("tests.exhaustive.run", "the whole state space of replicator.progress in a small world"),
    "fleet": ("tests.campaigns.fleet", "a fleet of agents moved from hooks to write-through"),
    "fuzz": ("tests.campaigns.fuzz.run", "arbitrary bytes for everything that reads bytes"),
    "hosts": ("tests.campaigns.hosts.run", "the real agent hosts: installed, trusted, editing, recalling, uninstalled"),
    "kills": ("tests.campaigns.kills", "kill -9 of brains and servers at random, then every record is counted"),
    "mutation": ("tests.campaigns.mutation.run", "the mutation score of the pure core"),
    "openapi": ("tests.campaigns.openapi", "requests made from the cloud's own OpenAPI document"),
    "powercut": ("tests.campaigns.powercut", "power cuts on real file systems"),
    "rollback": ("tests.campaigns.rollback", "write-through switched off and on under load"),
    "sdk": ("tests.campaigns.sdk", "the published SDK beside this program, and replaced by it"),
    "seeded_bugs": ("tests.simulation.mutants", "how many seeds the simulation needs to find each seeded bug"),
    "simulation": ("tests.simulation.run", "the real engine under a seeded clock, disk and network"),
    "soak": ("tests.campaigns.soak", "a long run that looks for leaks"),
    "syscalls": ("tests.campaigns.syscalls", "a fault at every system call of an append, a checkpoint, a restore"),
}
"""Name: the module whose `main()` runs it, and what it does."""


def main() -> int:
    """The campaign's own exit code; 2 for an unknown name."""
    name, *options = sys.argv[1:] or ["--help"]
    if name not in CAMPAIGNS:
        print("usage: python -m tests.campaigns NAME [OPTION…]\n")
        for known, (_, purpose) in CAMPAIGNS.items():
            print(f"  {known:16} {purpose}")
        return 0 if name in ("-h", "--help") else 2
    sys.argv = [f"tests.campaigns {name}", *options]
    return importlib.import_module(CAMPAIGNS[name][0]).main() or 0


if __name__ == "__main__":
    sys.exit(main())
