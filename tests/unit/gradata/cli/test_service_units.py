"""The services that are printed: each is read back by a reader of its own format, with hostile paths in it."""

from __future__ import annotations

import configparser
import plistlib
import shlex
from typing import Any, get_args

import pytest
from ruamel.yaml import YAML

from gradata.cli.service_units import ServiceKind, ServiceTarget, service

CANARY = "gk_live_canary0123456789"
ODD = '/home/a b/100%/$HOME/"q"/\\brain'
WANTED = ServiceTarget(ODD, "https://cloud.example/api/v1", "/home/a b/key", ("/opt/a b/gradata",), "127.0.0.1:9464")
FOLLOW = ["replicate", "--follow", "--brain"]


def yaml(text: str) -> Any:
    """The text as YAML 1.2; raises for duplicate keys."""
    return YAML(typ="safe").load(text)


def systemd_words(value: str) -> list[str]:
    """A command line as systemd reads it: quotes and backslashes as in a shell, `%%` and `$$` for themselves."""
    return [word.replace("%%", "%").replace("$$", "$") for word in shlex.split(value)]


def test_the_systemd_unit_starts_the_command_word_for_word() -> None:
    """Type, watchdog and restart are set, and a path with spaces, quotes, `%` and `$` arrives unchanged."""
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(service("systemd", WANTED).text)
    run = unit["Service"]
    assert systemd_words(run["ExecStart"]) == ["/opt/a b/gradata", *FOLLOW, ODD, "--metrics", "127.0.0.1:9464"]
    assert (run["Type"], run["Restart"], run["WatchdogSec"]) == ("notify", "always", "60")
    assert 'Environment="GRADATA_KEY_FILE=/home/a b/key"' in service("systemd", WANTED).text


def test_the_launchd_property_list_starts_the_command_word_for_word() -> None:
    """It is kept alive, and its environment names the key's file."""
    plist = plistlib.loads(service("launchd", WANTED).text.encode())
    assert plist["ProgramArguments"] == ["/opt/a b/gradata", *FOLLOW, ODD, "--metrics", "127.0.0.1:9464"]
    assert plist["EnvironmentVariables"]["GRADATA_KEY_FILE"] == "/home/a b/key"
    assert plist["KeepAlive"] is True
    assert plist["Umask"] == 0o77


def test_the_container_beside_gets_the_brain_and_the_secret() -> None:
    """The brain is bound in, the key is a secret, and a health check tells the truth of doctor."""
    compose = yaml(service("compose", WANTED).text)
    one = compose["services"]["gradata-replicate"]
    assert one["command"][:5] == ["gradata", *FOLLOW, "/brain"]
    assert one["volumes"] == [{"type": "bind", "source": ODD, "target": "/brain"}]
    assert compose["secrets"]["gradata_key"]["file"] == "/home/a b/key"
    assert one["environment"]["GRADATA_KEY_FILE"] == "/run/secrets/gradata_key"
    assert one["healthcheck"]["test"][1:3] == ["gradata", "doctor"]


def test_the_deployment_mounts_the_secret_as_a_directory() -> None:
    """A file mounted alone would never see a rotated key."""
    spec = yaml(service("k8s", WANTED).text)["spec"]["template"]["spec"]
    (one,) = spec["containers"]
    assert one["command"][:5] == ["gradata", *FOLLOW, "/brain"]
    assert {mount["mountPath"] for mount in one["volumeMounts"]} == {"/brain", "/secrets/gradata"}
    assert all("subPath" not in mount for mount in one["volumeMounts"])
    assert spec["volumes"][1]["secret"]["defaultMode"] == 0o400
    assert one["livenessProbe"]["httpGet"]["path"] == "/health"


@pytest.mark.parametrize("kind", get_args(ServiceKind))
def test_f55_no_service_holds_a_key(kind: ServiceKind) -> None:
    """What is printed names where the key is: there is no way for one to come in."""
    made = service(kind, WANTED)
    assert "API_KEY" not in made.text
    assert CANARY not in repr(made)
    assert made.commands
