"""Taking away over HTTP, at a running server: `/admin/brains` with a key of scope `admin`."""

from __future__ import annotations

from tests.support.cloud_batches import event
from tests.support.cloud_client import Agent, problem
from tests.support.cloud_fixture import LiveCloud

ERASE = "/admin/brains/erase"


def stored_bytes(cloud: LiveCloud) -> bytes:
    """Everything in the store's files."""
    return b"".join(path.read_bytes() for path in cloud.directory.glob("cloud.db*"))


def test_what_is_erased_leaves_the_files_of_a_running_server(live_cloud: LiveCloud) -> None:
    """Named first by a dry run; then nowhere in the file or its journal, and its neighbours untouched."""
    agent = Agent(live_cloud)
    admin = Agent(live_cloud, key=live_cloud.admin_key, brain=agent.brain, log_id=agent.log_id)
    log = [event("a"), event("b", "a secret, pasted by accident"), b"a second secret\n", event("c")]
    agent.send(log)
    assert b"pasted by accident" in stored_bytes(live_cloud)
    dry = admin.ask("POST", f"{ERASE}?brain={agent.brain}&event=b&dry_run=true").json()
    assert dry["places"] == [{"log_id": agent.log_id, "record": 1}]
    assert agent.replica().content == b"".join(log)
    done = admin.ask("POST", f"{ERASE}?brain={agent.brain}&event=b").json()
    assert (done["places"], done["event_id"], done["dry_run"]) == (dry["places"], "b", False)
    place = admin.ask("POST", f"{ERASE}?brain={agent.brain}&log={agent.log_id}&record=2").json()
    assert (place["event_id"], len(place["places"])) == (None, 1)
    left = stored_bytes(live_cloud)
    assert b"pasted by accident" not in left
    assert b"second secret" not in left
    served = agent.replica().content.splitlines(keepends=True)
    assert (served[0], served[3], list(map(len, served))) == (log[0], log[3], list(map(len, log)))
    head = agent.ask("GET", f"/logs/{agent.log_id}?scrub=deep").json()
    assert (head["size"], head.get("damaged"), head.get("gaps"), head["holes"]) == (4, [], [], 0)
    assert agent.send(log).json()["duplicates"] == 4
    for query in ("", "&event=b&log=x&record=1", f"&log={agent.log_id}", "&record=1"):
        assert problem(admin.ask("POST", f"{ERASE}?brain={agent.brain}{query}")) == (422, "invalid_parameter")
    assert problem(admin.ask("POST", f"{ERASE}?brain={agent.brain}&event=nothing")) == (404, "not_found")


def test_a_brain_is_listed_kept_for_a_time_and_deleted(live_cloud: LiveCloud) -> None:
    """What the list says follows; a deletion answers at once, and the server removes the rest by itself."""
    agent = Agent(live_cloud)
    admin = Agent(live_cloud, key=live_cloud.admin_key)
    agent.send([event("a"), event("b", "kept no longer")])

    def listed() -> dict[str, object]:
        (brain,) = admin.ask("GET", "/admin/brains").json()["brains"]
        assert isinstance(brain, dict)
        return brain

    assert (listed()["events"], listed()["retain_days"], listed()["deleted_at"]) == (2, None, None)
    assert admin.ask("PUT", f"/admin/brains/retention?brain={agent.brain}&days=30").json()["days"] == 30
    assert (listed()["retain_days"], listed()["events"]) == (30, 2)
    assert admin.ask("PUT", f"/admin/brains/retention?brain={agent.brain}").json()["days"] is None
    gone = admin.ask("DELETE", f"/admin/brains?brain={agent.brain}").json()
    assert (gone["deleted"], gone["events"]) == (True, 2)
    assert problem(agent.send([event("a")])) == (410, "brain_deleted")
    assert problem(agent.replica()) == (410, "brain_deleted")
    live_cloud.restart()  # which waits for the sweep that the deletion asked for, and begins with one
    live_cloud.stop()
    assert b"kept no longer" not in stored_bytes(live_cloud)
