"""Who may do what: foreign brains, missing scopes, unknown and revoked keys, and what is kept of a key."""

from __future__ import annotations

import json
from pathlib import Path

from gradata.cloud.service.api_keys import revoke_key, rotate_key
from gradata.cloud.store.open import open_store
from tests.support.cloud_batches import event
from tests.support.cloud_client import Agent, problem
from tests.support.cloud_fixture import LiveCloud

LOG = [event("a"), event("b")]


def test_f58_another_workspace_sees_and_changes_nothing(shared_cloud: LiveCloud) -> None:
    """Writing to a foreign brain is 403 in every form; reading it shows what a brain that does not exist shows."""
    owner = Agent(shared_cloud)
    owner.send(LOG)
    key = shared_cloud.make_key("ingest", "read", "admin", workspace="others")
    thief = Agent(shared_cloud, key=key, brain=owner.brain, log_id=owner.log_id)
    nobody = Agent(shared_cloud, key=key)
    beat = json.dumps({"brain_id": owner.brain, "device_id": "d", "log_id": owner.log_id, "size": 0, "root": "0" * 64})
    correction = json.dumps({"brain_id": owner.brain, "correction": {}})
    writes = [
        thief.send(LOG),
        thief.send([*LOG, event("c")], 2),
        thief.ask("POST", "/heartbeat", beat, kind="application/json"),
        thief.ask("POST", "/ingest", correction, kind="application/json"),
        thief.ask("POST", f"/ingest?brain={owner.brain}", LOG[0], kind="application/x-ndjson"),
    ]
    assert {problem(answer) for answer in writes} == {(403, "brain_forbidden")}
    for path in ("/logs?brain={0.brain}", "/events?brain={0.brain}", "/logs/{0.log_id}", "/logs/{0.log_id}/bytes"):
        foreign, unknown = (agent.ask("GET", path.format(agent)) for agent in (thief, nobody))
        assert (foreign.status_code, foreign.content) == (unknown.status_code, unknown.content)
    assert owner.replica().content == b"".join(LOG)
    assert len(owner.events()) == 2


def test_f58_a_key_of_one_brain_is_good_for_that_one(shared_cloud: LiveCloud) -> None:
    """Within the workspace, too; loose events need no name then."""
    mine, other = Agent(shared_cloud), Agent(shared_cloud)
    other.send(LOG)
    key = shared_cloud.make_key("ingest", "read", brains=(mine.brain,))
    mine.key = key
    assert mine.send(LOG).status_code == 200
    assert mine.ask("POST", "/ingest", event("c"), kind="application/x-ndjson").json()["accepted"] == 1
    theirs = Agent(shared_cloud, key=key, brain=other.brain, log_id=other.log_id)
    missing = Agent(shared_cloud, key=key)
    assert problem(theirs.send(LOG)) == (403, "brain_forbidden")
    for path in ("/logs?brain={0.brain}", "/events?brain={0.brain}", "/logs/{0.log_id}/bytes"):
        foreign, unknown = (agent.ask("GET", path.format(agent)) for agent in (theirs, missing))
        assert (foreign.status_code, foreign.content) == (unknown.status_code, unknown.content)
    listed = [item["brain_id"] for item in mine.ask("GET", "/brains").json()["brains"]]
    assert listed == [mine.brain]


def test_scopes_are_kept_apart(shared_cloud: LiveCloud) -> None:
    """A key that only sends reads no events and no bytes, one that only reads sends nothing."""
    sender = Agent(shared_cloud, key=shared_cloud.make_key("ingest"))
    reader = Agent(shared_cloud, key=shared_cloud.make_key("read"), brain=sender.brain, log_id=sender.log_id)
    assert sender.send(LOG).status_code == 200
    assert sender.ask("GET", f"/logs?brain={sender.brain}").status_code == 200
    assert problem(sender.replica()) == (403, "scope_missing")
    assert problem(sender.ask("GET", f"/events?brain={sender.brain}")) == (403, "scope_missing")
    assert problem(reader.send(LOG)) == (403, "scope_missing")
    assert reader.replica().content == b"".join(LOG)


def test_f33_f58_unknown_and_revoked_keys_get_the_same_words(live_cloud: LiveCloud) -> None:
    """No key, garbage, a guessed secret, a revoked and an expired key: one answer; refusals of real keys are noted."""
    agent = Agent(live_cloud)
    store = open_store(live_cloud.store_url)
    try:
        revoked, expired = live_cloud.make_key("ingest"), live_cloud.make_key("ingest")
        rotated = rotate_key(store, expired[:16], grace_s=0.0)
        revoke_key(store, revoked[:16])
        guessed = live_cloud.key[:-4] + "AAAA"
        answers = [
            Agent(live_cloud, key=key).ask("POST", "/ingest", agent.body(LOG), Gradata_Brain=agent.brain)
            for key in ("none", "gk_live_aaaaaaaa_" + "a" * 43, guessed, revoked, expired, "gk_live_" + "a" * 10_000)
        ]
        assert {problem(answer) for answer in answers} == {(401, "key_unknown")}
        assert len({answer.content for answer in answers}) == 1
        assert answers[0].headers["www-authenticate"] == "Bearer"
        assert Agent(live_cloud, key=rotated, brain=agent.brain).send(LOG).status_code == 200
        noted = {(prefix, brain) for prefix, brain, *_ in store.refusals()}
        assert {(key[:16], agent.brain) for key in (revoked, expired)} == noted  # F107: a guess is no word about a key
    finally:
        store.close()


def test_f55_no_key_is_kept_or_said(live_cloud: LiveCloud) -> None:
    """Keys are in no file of the store but the admin's own, and in nothing that is said after the start."""
    agent = Agent(live_cloud)
    agent.send(LOG)
    agent.ask("GET", f"/logs/{agent.log_id}?key={agent.key}")
    live_cloud.stop()
    secret = live_cloud.key.rpartition("_")[2].encode()
    admin = live_cloud.admin_key.encode()
    for path in Path(live_cloud.directory).iterdir():
        content = path.read_bytes()
        assert secret not in content
        assert admin not in content or path.name == "admin.key"
    assert live_cloud.said.count(live_cloud.admin_key) == 1
    assert live_cloud.key not in live_cloud.said
    live_cloud.start()
