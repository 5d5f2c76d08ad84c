"""A brain that the published 0.6.0 wrote crosses as it is, and its file comes back to the byte."""

from __future__ import annotations

import json
import shutil

from tests.acceptance.world import ROOT, World

LOG = ROOT / "fixtures" / "brains" / "events-0.6.0.jsonl"


def test_f14_f16_a_log_of_0_6_0_is_replicated_to_the_byte_and_once(world: World) -> None:
    """`gradata replicate --once`, then the cloud's bytes are the file's; a second run accepts 0."""
    world.directory.mkdir()
    shutil.copy(LOG, world.log)
    first = world.run("replicate", "--once", "--json")
    assert first.returncode == 0, first.stderr
    told = json.loads(first.stdout)
    records = LOG.read_bytes().count(b"\n")
    assert told["accepted"] + told["duplicates"] + told["flagged"] == records
    (log,) = world.logs()
    assert world.replica(log["log_id"]) == LOG.read_bytes() == world.log.read_bytes()
    second = json.loads(world.run("replicate", "--once", "--json").stdout)
    assert (second["reason"], second["accepted"], second["duplicates"]) == ("caught_up", 0, 0)
    again = json.loads(world.run("replicate", "--from-offset", "0", "--once", "--json").stdout)
    assert (again["reason"], again["accepted"], again["duplicates"] + again["flagged"]) == ("caught_up", 0, records)
    assert len(world.logs()) == 1
    assert world.replica(log["log_id"]) == LOG.read_bytes()
