"""`gradata dead-letters`: listed, tried again against a real cloud, given up."""

from __future__ import annotations

import httpx

from tests.support.cli_runner import CommandLine
from tests.support.cloud_fixture import LiveCloud, StartCloud

LARGE = b'{"type": "NOTE", "event_id": "large", "data": "' + b"x" * (1200 * 1024) + b'"}\n'
"""More than the documented limit of a record."""


def with_a_dead_letter(cli: CommandLine, cloud: LiveCloud) -> None:
    """A brain with four records, of which the third is too large for the cloud."""
    cli.use(cloud.url, cloud.key)
    cli.append(2)
    with cli.log.open("ab") as file:
        file.write(LARGE)
    cli.append(1)
    done = cli("replicate", "--json")
    assert done.code == 0, done.err
    assert (done.json["dead_letters"], done.json["new_dead_letters"]) == (1, 1), done.json


def raise_record_limit(cloud: LiveCloud, record_bytes: int) -> None:
    """What an operator does by starting the server with other limits."""
    limits = cloud._options["limits"]
    assert isinstance(limits, dict)
    limits["record_bytes"] = record_bytes


def test_f35_a_refused_record_is_listed(cli: CommandLine, shared_cloud: LiveCloud) -> None:
    """Where it is, how long, and why; the rest arrived."""
    with_a_dead_letter(cli, shared_cloud)
    answer = cli("dead-letters", "list", "--json").json
    (letter,) = answer["dead_letters"]
    assert answer["total"] == 1
    assert set(letter) == {"id", "at", "log_id", "record", "offset", "length", "code", "detail"}
    assert (letter["record"], letter["length"], letter["code"]) == (2, len(LARGE), "record_too_large")
    assert "record_too_large" in cli("dead-letters", "list").out
    assert cli("status", "--json").json["dead_letters"] == 1


def test_a_retry_that_is_refused_again_keeps_it(cli: CommandLine, shared_cloud: LiveCloud) -> None:
    """Exit 1, the cloud's words, and the dead letter stays."""
    with_a_dead_letter(cli, shared_cloud)
    done = cli("dead-letters", "retry", "--all", "--json")
    assert done.code == 1
    assert (done.json["accepted"], done.json["remaining"]) == (0, 1)
    assert cli("dead-letters", "list", "--json").json["total"] == 1


def test_a_retry_that_is_taken_ends_it(cli: CommandLine, start_cloud: StartCloud) -> None:
    """With the cloud's limit raised the record is sent into its place: a dead letter no more, the replica whole."""
    cloud = start_cloud(record_bytes=32 * 1024)
    cli.use(cloud.url, cloud.key)
    cli.append(9_000)  # more than a first batch holds: the answer to it tells the limit
    with cli.log.open("ab") as file:
        file.write(b'{"event_id": "large", "data": "' + b"x" * 40_000 + b'"}\n')
    assert cli("replicate", "--json").json["dead_letters"] == 1
    raise_record_limit(cloud, 64 * 1024)
    cloud.restart()
    done = cli("dead-letters", "retry", "--all", "--json")
    assert done.code == 0, done.err
    assert (done.json["accepted"], done.json["remaining"]) == (1, 0)
    assert cli("dead-letters", "list", "--json").json["total"] == 0
    with httpx.Client(base_url=cloud.url, headers={"Authorization": f"Bearer {cloud.key}"}, trust_env=False) as client:
        log_id = cli("cursor", "show", "--json").json["cursor"]["log_id"]
        assert client.get(f"/logs/{log_id}/bytes").raise_for_status().content == cli.log.read_bytes()


def test_giving_up_wants_a_yes(cli: CommandLine, shared_cloud: LiveCloud) -> None:
    """From → to, --dry-run, --yes; the log keeps the bytes."""
    with_a_dead_letter(cli, shared_cloud)
    assert cli("dead-letters", "drop", "--all").code == 2
    dry = cli("dead-letters", "drop", "--all", "--dry-run", "--json").json
    assert dry == {"dropped": 0, "wanted": 1, "dry_run": True}
    assert cli("dead-letters", "list", "--json").json["total"] == 1
    dropped = cli("dead-letters", "drop", "1", "--yes")
    assert dropped.code == 0
    assert "from 1 dead letters" in dropped.out
    assert cli("dead-letters", "list").out == "no dead letters\n"
    assert LARGE in cli.log.read_bytes()
