"""`gradata status`, `cursor` and `doctor` against a real cloud, a dead one and a lost sidecar."""

from __future__ import annotations

from gradata import Brain
from tests.acceptance.world import paced
from tests.support.cli_runner import CommandLine, last_lines
from tests.support.cloud_fixture import LiveCloud, StartCloud

KEYS = {
    "state", "trouble", "log_bytes", "offset", "size", "backlog_bytes", "backlog_records", "last_event_at",
    "last_ack_at", "dead_letters", "cloud",
}  # fmt: skip
SIDECAR = (".replicator.db", ".replicator.db-wal", ".replicator.db-shm")


def test_status_has_the_documented_keys(cli: CommandLine, shared_cloud: LiveCloud) -> None:
    """The keys that programs rely on are there in every state, with the documented types."""
    fresh = cli("status", "--json", "--no-cloud").json
    assert set(fresh) >= KEYS
    assert (fresh["state"], fresh["cloud"], fresh["trouble"], fresh["last_ack_at"]) == ("off", None, None, None)
    cli.use(shared_cloud.url, shared_cloud.key)
    records = cli.append(7)
    assert cli("replicate").code == 0
    cli.append(2)
    after = cli("status", "--json")
    assert after.code == 0
    assert set(after.json) == set(fresh)
    assert (after.json["size"], after.json["offset"]) == (7, len(records))
    assert (after.json["backlog_records"], after.json["backlog_bytes"]) == (2, len(cli.log.read_bytes()) - len(records))
    assert set(after.json["cloud"]) >= {"size", "root", "in_step"}
    assert (after.json["cloud"]["size"], after.json["cloud"]["in_step"]) == (7, True)
    assert after.json["cloud"]["root"] == after.json["root"]


def test_status_in_words(cli: CommandLine, shared_cloud: LiveCloud) -> None:
    """For people: one fact a line, on stdout."""
    cli.use(shared_cloud.url, shared_cloud.key)
    cli.append(3)
    assert cli("replicate").code == 0
    done = cli("status")
    assert (done.code, done.err) == (0, "")
    assert "in step: the same root" in done.out
    assert "record 3" in done.out


def test_f10_an_edited_record_is_not_in_step(cli: CommandLine, shared_cloud: LiveCloud) -> None:
    """In step means the log's own bytes, not what the cursor remembers of them: exit 1."""
    cli.use(shared_cloud.url, shared_cloud.key)
    cli.append(5)
    assert cli("replicate").code == 0
    edited = bytearray(cli.log.read_bytes())
    edited[12:16] = b"ETON"
    cli.log.write_bytes(bytes(edited))
    done = cli("status", "--json")
    assert done.code == 1
    assert done.json["cloud"]["in_step"] is False


def test_an_unreachable_cloud_is_null_with_a_reason(cli: CommandLine) -> None:
    """No answer, no key, no consent: `cloud` is null and `cloud_reason` says why; it is not a failure."""
    cli.append(1)
    assert "key" in cli("status", "--json").json["cloud_reason"]
    cli.use("http://127.0.0.1:9", "gk_live_x")
    away = cli("status", "--json")
    assert (away.code, away.json["cloud"]) == (0, None)
    assert "refused" in away.json["cloud_reason"]
    assert cli("status", "--json", "--no-cloud").json["cloud_reason"] is None


def test_f24_with_the_sidecar_lost_the_truth_comes_from_the_cloud(cli: CommandLine, shared_cloud: LiveCloud) -> None:
    """Status and doctor say what is, without a sidecar; the next run rebuilds it and resends nothing."""
    cli.use(shared_cloud.url, shared_cloud.key)
    cli.append(6)
    assert cli("replicate").code == 0
    for name in SIDECAR:
        (cli.brain / name).unlink(missing_ok=True)
    status = cli("status", "--json").json
    assert (status["cloud"]["size"], status["cloud"]["in_step"]) == (6, True)
    checks = {check["name"]: check for check in cli("doctor", "--json").json["checks"]}
    assert checks["sidecar"]["status"] == "missing"
    assert checks["proof"]["detail"] == "in step with the cloud at size 6"
    rebuilt = cli("replicate", "--json").json
    assert rebuilt["accepted"] == rebuilt["duplicates"] == 0


def test_doctor_is_true_while_the_cloud_is_away_and_after(cli: CommandLine, start_cloud: StartCloud) -> None:
    """Backlog and trouble are there while it lasts, and gone when it drained."""
    cloud = start_cloud()
    cli.use(cloud.url, cloud.key)
    with Brain(cli.brain, environ=cli.environ, ports=paced()) as brain:
        brain.correct("a b", "a c")
        assert brain.replicator is not None
        assert brain.replicator.drain(20.0).reason == "caught_up"
        cloud.kill()
        brain.correct("a b", "a d")
        brain.replicator.drain(1.0)
        report = cli("doctor", "--json")
        checks = {check["name"]: check for check in report.json["checks"]}
        assert (report.code, report.json["status"]) == (0, "degraded")
        assert checks["backlog"]["detail"].startswith("1 pending")
        assert "does not answer since" in checks["trouble"]["detail"]
        assert "leads" in checks["replicator"]["detail"]
        assert checks["cloud"]["status"] == "warn"
        cloud.start()
        assert brain.replicator.drain(30.0).reason == "caught_up"
        report = cli("doctor", "--json")
        checks = {check["name"]: check for check in report.json["checks"]}
        assert checks["backlog"]["detail"] == "0 pending"
        assert checks["proof"]["detail"] == "in step with the cloud at size 2"
        assert report.json["status"] == "healthy", [c for c in report.json["checks"] if c["status"] != "ok"]


def test_doctor_keeps_its_form(cli: CommandLine) -> None:
    """`{"status", "checks": [{"name", "status", "detail"}]}`, and lines of `[mark] name   detail`; broken is exit 1."""
    answer = cli("doctor", "--json", "--no-cloud").json
    assert set(answer) == {"status", "checks"}
    assert all(set(check) == {"name", "status", "detail"} for check in answer["checks"])
    lines = cli("doctor", "--no-cloud").out.splitlines()
    assert all(line.startswith(("  [+] ", "  [-] ", "  [!] ", "  [X] ")) for line in lines[:-2])
    assert lines[-1] == answer["status"] == "degraded"
    broken = cli("doctor", "--brain", str(cli.home / "nowhere"))
    assert broken.code == 1
    assert broken.out.startswith("  [X] brain")


def test_doctor_names_the_source_of_the_key_never_the_key(cli: CommandLine) -> None:
    """File before environment; two that differ, and a file that others can read, are warnings."""

    def key() -> dict[str, str]:
        (found,) = [each for each in cli("doctor", "--json", "--no-cloud").json["checks"] if each["name"] == "key"]
        assert "secret" not in found["detail"]
        return dict(found)

    assert key()["status"] == "missing"
    cli.environ["GRADATA_API_KEY"] = "gk_live_secret1"
    assert (key()["status"], key()["detail"]) == ("ok", "from GRADATA_API_KEY")
    path = cli.home / ".gradata" / "key"
    path.parent.mkdir()
    path.write_text("gk_live_secret2\n")
    path.chmod(0o600)
    assert key()["status"] == "warn"
    assert str(path) in key()["detail"]
    del cli.environ["GRADATA_API_KEY"]
    assert (key()["status"], key()["detail"]) == ("ok", f"from {path}")
    path.chmod(0o644)
    assert "chmod 600" in key()["detail"]
    path.write_text("two words secret\n")
    assert key()["status"] == "fail"


def test_cursor_show_and_reset(cli: CommandLine, shared_cloud: LiveCloud) -> None:
    """Shown as it stands; a reset says from where to where, wants --yes, and is carried out by the next run."""
    cli.use(shared_cloud.url, shared_cloud.key)
    assert cli("cursor", "show", "--json").json["cursor"] is None
    records = cli.append(4)
    assert cli("replicate").code == 0
    shown = cli("cursor", "show", "--json").json
    assert (shown["cursor"]["size"], shown["cursor"]["offset"], shown["cursor"]["event_id"]) == (4, len(records), "e3")
    assert "e3" in cli("cursor", "show").out
    unasked = cli("cursor", "reset", "--to-event", "e1")
    assert unasked.code == 2
    assert f"offset {len(records)}" in unasked.out
    assert "3 records" in unasked.out
    assert last_lines(unasked)[1] == "hint: look at it with --dry-run, then add --yes"
    dry = cli("cursor", "reset", "--to-event", "e1", "--dry-run", "--json").json
    assert (dry["dry_run"], dry["order"], dry["again_records"]) == (True, None, 3)
    ordered = cli("cursor", "reset", "--to-event", "e1", "--yes", "--json").json
    assert (ordered["done"], ordered["again_records"], ordered["to"]["size"]) == (False, 3, 1)
    done = cli("replicate", "--json").json
    assert (done["accepted"], done["duplicates"]) == (0, 3)


def test_a_live_replicator_carries_a_reset_out(cli: CommandLine, shared_cloud: LiveCloud) -> None:
    """With a leader the command returns when it is done."""
    cli.use(shared_cloud.url, shared_cloud.key)
    cli.append(4)
    with Brain(cli.brain, environ=cli.environ) as brain:
        assert brain.replicator is not None
        brain.replicator.drain(20.0)
        ordered = cli("cursor", "reset", "--to-offset", "0", "--yes", "--json").json
    assert (ordered["done"], ordered["again_records"]) == (True, 4)
