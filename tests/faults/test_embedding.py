"""Real programs that embed a brain: F43, F45, F46 and F54. The table: `python -m tests.campaigns embedding`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.conftest import MakeWorld
from tests.acceptance.world import World
from tests.campaigns.embedding import HOSTS, try_host
from tests.support.cloud_fixture import LiveCloud


@pytest.mark.parametrize("name", [name for name in HOSTS if name != "gunicorn, threads"])
def test_f43_f45_f46_a_host_delivers_and_ends(
    name: str, make_world: MakeWorld, live_cloud: LiveCloud, tmp_path: Path
) -> None:
    """Parent's and children's records arrive by themselves, each once; with the cloud gone it ends and loses none."""
    row = try_host(name, make_world(live_cloud), tmp_path / "host")
    assert row.parent == 1
    assert row.children >= 10
    assert row.arrived >= 6
    assert row.missing == 0
    assert "Traceback" not in row.said, row.said
    assert row.exit_s < 30  # it does not hang; the figures are the program's


PATCHED = """
import logging, os, sys
{patch}
logging.basicConfig()
from gradata import Brain
brain = Brain(sys.argv[1])
for number in range(10):
    brain.emit("NOTE", "patched", {{"number": number}})
print(brain.replicator, flush=True)
brain.close()
"""
GEVENT = "from gevent import monkey; monkey.patch_all()"
EVENTLET = "import warnings; warnings.simplefilter('ignore'); import eventlet; eventlet.monkey_patch()"


@pytest.mark.parametrize(("patch", "word"), [(GEVENT, "gevent"), (EVENTLET, "eventlet")], ids=["gevent", "eventlet"])
def test_f54_a_patched_host_is_refused_loudly_and_loses_nothing(world: World, patch: str, word: str) -> None:
    """Really patched: no thread starts, a WARNING names the way out, doctor's way works, every record arrives."""
    world.brain(GRADATA_DISABLE_WRITE_THROUGH="1").close()
    program = world.start(PATCHED.format(patch=patch))
    said, errors = program.communicate(timeout=60)
    assert said == "None\n", errors
    assert f"patched by {word}" in errors
    assert "gradata replicate --follow" in errors
    assert world.run("replicate", "--once").returncode == 0
    assert len(world.event_ids()) == 10
