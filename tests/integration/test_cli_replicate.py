"""`gradata replicate` against a real cloud, as a process: once, again, beside a live replicator, and when it cannot."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from gradata import Brain
from replicator.testing import ManualClock  # noqa: F401 -- shipped: must be importable beside the real thing
from tests.support.cli_runner import CommandLine, last_lines
from tests.support.cloud_fixture import LiveCloud
from tests.support.patience import PATIENCE_S

OLD_LOG = Path(__file__).parents[2] / "fixtures" / "brains" / "events-0.6.0.jsonl"


def replica(cloud: LiveCloud, cli: CommandLine) -> bytes:
    """The brain's newest log, as the cloud gives it back."""
    brain_id = (cli.brain / ".tenant_id").read_text().strip()
    with httpx.Client(base_url=cloud.url, headers={"Authorization": f"Bearer {cloud.key}"}, trust_env=False) as client:
        log_id = client.get("/logs", params={"brain": brain_id}).raise_for_status().json()["logs"][0]["log_id"]
        return client.get(f"/logs/{log_id}/bytes").raise_for_status().content


def heard(cloud: LiveCloud, cli: CommandLine) -> str:
    """When the cloud heard of the brain's log last."""
    brain_id = (cli.brain / ".tenant_id").read_text().strip()
    with httpx.Client(base_url=cloud.url, headers={"Authorization": f"Bearer {cloud.key}"}, trust_env=False) as client:
        log_id = client.get("/logs", params={"brain": brain_id}).raise_for_status().json()["logs"][0]["log_id"]
        return str(client.get(f"/logs/{log_id}").raise_for_status().json()["heard_at"])


def eventually(true: Callable[[], bool]) -> None:
    """Wait until it is true; fail if it never is."""
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)  # between two looks at another process; nothing is assumed to have happened by then


def test_a_brain_of_0_6_0_crosses_byte_for_byte(cli: CommandLine, shared_cloud: LiveCloud) -> None:
    """The log of an old version is at the cloud to the byte after one run, and a second run accepts nothing."""
    cli.use(shared_cloud.url, shared_cloud.key)
    cli.log.write_bytes(OLD_LOG.read_bytes())
    first = cli("replicate", "--once", "--json")
    assert first.code == 0, first.err
    assert first.json["accepted"] + first.json["duplicates"] == OLD_LOG.read_bytes().count(b"\n")
    assert first.json["reason"] == "caught_up"
    assert replica(shared_cloud, cli) == OLD_LOG.read_bytes()
    second = cli("replicate", "--once", "--json")
    assert second.code == 0
    assert second.json["accepted"] == second.json["duplicates"] == 0
    assert cli.log.read_bytes() == OLD_LOG.read_bytes()


def test_f53_a_run_with_nothing_to_send_is_heard_of(cli: CommandLine, shared_cloud: LiveCloud) -> None:
    """Each run brings a heartbeat, so a brain that only cron replicates is not silent."""
    cli.use(shared_cloud.url, shared_cloud.key)
    records = cli.append(3)
    assert cli("replicate", "--once").code == 0
    heard_at = heard(shared_cloud, cli)
    assert cli("replicate", "--once").code == 0
    assert heard(shared_cloud, cli) > heard_at
    assert replica(shared_cloud, cli) == records


def test_everything_is_sent_again_and_nothing_is_stored_twice(cli: CommandLine, shared_cloud: LiveCloud) -> None:
    """`--from-offset 0` ends with what was accepted and what was there: all of it, also in words."""
    cli.use(shared_cloud.url, shared_cloud.key)
    cli.append(25)
    assert cli("replicate").code == 0
    again = cli("replicate", "--from-offset", "0", "--json")
    assert again.code == 0, again.err
    assert (again.json["accepted"], again.json["duplicates"]) == (0, 25)
    in_words = cli("replicate", "--from-event", "e20")
    assert in_words.code == 0
    assert in_words.out.startswith("0 accepted, 5 duplicates, 0 flagged, 0 new dead letters")
    assert in_words.err == ""


def test_a_dry_run_sends_nothing(cli: CommandLine, shared_cloud: LiveCloud) -> None:
    """It says what would go where, from the cursor or from a place that is named."""
    cli.use(shared_cloud.url, shared_cloud.key)
    records = cli.append(3)
    plan = cli("replicate", "--dry-run", "--json").json
    assert (plan["records"], plan["bytes"], plan["again_records"]) == (3, len(records), 0)
    assert cli("cursor", "show", "--json").json["cursor"] is None
    assert cli("replicate").code == 0
    again = cli("replicate", "--from-offset", "0", "--dry-run", "--json").json
    assert (again["records"], again["again_records"], again["from_offset"]) == (3, 3, 0)
    assert "would send 0 records" in cli("replicate", "--dry-run").out


def test_f44_it_works_with_a_live_replicator_instead_of_against_it(cli: CommandLine, shared_cloud: LiveCloud) -> None:
    """While another process leads, a resend is ordered, done by that one, and its counts are reported here."""
    cli.use(shared_cloud.url, shared_cloud.key)
    cli.append(12)
    with Brain(cli.brain, environ=cli.environ) as brain:
        eventually(lambda: cli("status", "--no-cloud", "--json").json["size"] == 12)
        done = cli("replicate", "--from-offset", "0", "--json")
        assert done.code == 0, done.err
        assert (done.json["accepted"], done.json["duplicates"]) == (0, 12)
        assert brain.replicator is not None
        assert brain.replicator.leads  # type: ignore[attr-defined]


def test_f33_a_refused_key_ends_it_with_words_a_hint_and_an_entry_in_the_auth_log(
    cli: CommandLine, shared_cloud: LiveCloud
) -> None:
    """401: exit 1 at once, what waits is named, the auth log has a line, and the key is nowhere."""
    canary = "gk_live_00000000_CANARY00000000000000000000000000000"
    cli.use(shared_cloud.url, canary)
    cli.append(4)
    done = cli("replicate", "--json")
    assert done.code == 1
    assert done.json["reason"] == "trouble"
    assert done.json["trouble"]["code"] == "denied"
    assert done.json["remaining_records"] == 4
    error, hint = last_lines(done)
    assert error.startswith("error: replication is paused")
    assert "4 records" in error
    assert "nothing is lost" in error
    assert hint.startswith("hint: put a valid API key")
    auth_log = cli.brain / "logs" / "replication-auth.log"
    assert " denied: " in auth_log.read_text()
    for place in (
        done.out,
        done.err,
        auth_log.read_text(),
        (cli.brain / ".replicator.db").read_bytes().decode("latin-1"),
    ):
        assert "CANARY" not in place


def test_f51_without_a_key_it_says_what_to_set(cli: CommandLine, shared_cloud: LiveCloud) -> None:
    """No key: nothing is sent, exit 1, and the hint names both places for one."""
    cli.use(shared_cloud.url, None)
    cli.append(1)
    done = cli("replicate", "--quiet")
    assert done.code == 1
    assert done.out == ""
    assert "~/.gradata/key" in last_lines(done)[1]


def test_f29_a_cloud_that_is_away_ends_it_at_the_timeout(cli: CommandLine) -> None:
    """With a deadline it gives up in time, says why and what waits; without one it would go on."""
    cli.use("http://127.0.0.1:9", "gk_live_x")
    cli.append(2)
    done = cli("replicate", "--timeout", "6", "--json")
    assert done.code == 1
    assert done.json["reason"] == "deadline"
    assert done.json["remaining_records"] == 2
    assert "Connection refused" in last_lines(done)[0]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_f46_a_signal_ends_it_and_says_what_waits(cli: CommandLine, number: signal.Signals, code: int) -> None:
    """Ctrl-C and SIGTERM: no traceback, what remains, the code that shells expect."""
    cli.use("http://127.0.0.1:9", "gk_live_x")
    cli.append(3)
    process = cli.start("replicate")
    eventually(lambda: (cli.brain / ".replicator.db").exists())
    process.send_signal(number)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == code
    assert "3 records" in err
    assert "nothing is lost" in err
    assert "Traceback" not in err


def test_follow_replicates_what_comes_and_drains_at_the_end(cli: CommandLine, shared_cloud: LiveCloud) -> None:
    """`--follow` is silent, sends what is appended later, and ends well on SIGTERM."""
    cli.use(shared_cloud.url, shared_cloud.key)
    process = cli.start("replicate", "--follow")
    cli.append(2)
    eventually(lambda: cli("cursor", "show", "--json").json["cursor"] is not None)
    cli.append(2)
    eventually(lambda: cli("cursor", "show", "--json").json["cursor"]["size"] == 4)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out, err) == (0, "", "")
    assert replica(shared_cloud, cli) == cli.log.read_bytes()


def test_follow_tells_trouble_once(cli: CommandLine) -> None:
    """What happens is told at its edge, with what to do."""
    cli.use("http://127.0.0.1:9", "gk_live_x")
    cli.environ.pop("GRADATA_API_KEY")
    cli.append(1)
    process = cli.start("replicate", "--follow")
    assert process.stderr is not None
    line = process.stderr.readline()
    assert "no_key" in line
    assert "~/.gradata/key" in line
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert "bytes wait in the log" in err


def test_f50_replicating_by_hand_is_what_the_rollback_switch_leaves(cli: CommandLine, shared_cloud: LiveCloud) -> None:
    """With write-through off, an explicit run sends; with the cloud off, nothing does, and it says so."""
    cli.use(shared_cloud.url, shared_cloud.key)
    cli.append(5)
    off = cli("replicate", GRADATA_CLOUD_SYNC_DISABLE="1")
    assert off.code == 2
    assert "GRADATA_CLOUD_SYNC_DISABLE" in last_lines(off)[0]
    by_hand = cli("replicate", "--json", GRADATA_DISABLE_WRITE_THROUGH="1")
    assert by_hand.json["accepted"] == 5


def test_f52_nothing_leaves_against_the_user_s_consent(cli: CommandLine, shared_cloud: LiveCloud) -> None:
    """`sync_enabled: false` holds for an explicit run, too, and is not flipped."""
    cli.use(shared_cloud.url, shared_cloud.key)
    cli.append(1)
    config = cli.brain / "cloud-config.json"
    config.write_text('{"sync_enabled": false}')
    for command in (("replicate",), ("replicate", "--follow"), ("dead-letters", "retry", "--all")):
        done = cli(*command)
        assert done.code == 2
        assert "sync_enabled" in last_lines(done)[0]
    assert cli("status", "--json").json["cloud"] is None
    assert config.read_text() == '{"sync_enabled": false}'
    assert not (cli.brain / ".replicator.db").exists()
