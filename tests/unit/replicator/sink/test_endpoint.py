"""What may be an address or a key, and what is said of what may not."""

from __future__ import annotations

import pytest

from replicator.errors import ConfigurationError
from replicator.sink import check_endpoint, check_key, environment_proxy, is_loopback


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("https://api.gradata.ai/api/v1", "https://api.gradata.ai/api/v1"),
        ("https://api.gradata.ai", "https://api.gradata.ai/api/v1"),
        ("https://api.gradata.ai/", "https://api.gradata.ai/api/v1"),
        ("HTTPS://API.Gradata.AI/v2/", "https://api.gradata.ai/v2"),
        ("https://api.gradata.ai:8443/x//", "https://api.gradata.ai:8443/x"),
        ("https://api.gradata.ai./", "https://api.gradata.ai./api/v1"),
        ("http://localhost:8787", "http://localhost:8787/api/v1"),
        ("http://LOCALHOST", "http://localhost/api/v1"),
        ("http://127.0.0.1:8787", "http://127.0.0.1:8787/api/v1"),
        ("http://127.9.9.9", "http://127.9.9.9/api/v1"),
        ("http://[::1]:8787/", "http://[::1]:8787/api/v1"),
        ("https://[2001:db8::1]", "https://[2001:db8::1]/api/v1"),
        ("https://10.0.0.1", "https://10.0.0.1/api/v1"),
    ],
)
def test_an_endpoint_has_one_form(given: str, expected: str) -> None:
    """An address is normalised, and normalising it again changes nothing."""
    assert expected == check_endpoint(given)
    assert expected == check_endpoint(expected)


@pytest.mark.parametrize(
    "given",
    [
        "",
        "api.gradata.ai",
        "api.gradata.ai:443",
        "//api.gradata.ai",
        "ftp://api.gradata.ai",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https://",
        "https:///api/v1",
        "https://:443",
        "https://.gradata.ai",
        "https://a..b",
        f"https://{'a' * 64}.ai",
        f"https://{'a.' * 130}ai",
        "https://api.gradata.ai:notaport",
        "https://api.gradata.ai:99999",
        "https://api.gradata.ai:0",
        "https://[::1",
        "https://[fe80::zz]",
        "https://[v1.x]",
        "https://api.gradata.ai/x?key=1",
        "https://api.gradata.ai/#x",
        "https://user@api.gradata.ai",
        "https://:gk_live_canary@api.gradata.ai",
        "https://api.gradata.ai/\n",
        "https://api.gradata.ai /",
        "https://api.gradata.ai\x00",
        "https://gräda.ai",
        "http://api.gradata.ai",
        "http://10.0.0.1",
        "http://0.0.0.0:8787",
        "http://localhost.example",
        "http://127.0.0.1.example",
        "http://[2001:db8::1]",
    ],
)
def test_what_is_no_endpoint_is_said_with_a_hint(given: str) -> None:
    """Other schemes, plain http to a far host, keys in the address, nonsense: an error with a hint, nothing leaked."""
    with pytest.raises(ConfigurationError) as caught:
        check_endpoint(given)
    assert caught.value.hint
    assert "canary" not in str(caught.value) + caught.value.hint


@pytest.mark.parametrize(
    ("host", "expected"),
    [("localhost", True), ("127.1.2.3", True), ("::1", True), ("10.0.0.1", False), ("example", False), ("", False)],
)
def test_this_machine_is_told_from_others(host: str, expected: bool) -> None:
    """Only what is surely this machine counts as it."""
    assert is_loopback(host) is expected


@pytest.mark.parametrize("key", ["gk_live_x", "!", "~" * 512])
def test_a_usable_key_is_returned_as_it_is(key: str) -> None:
    """Any prefix and any printable ASCII is a key."""
    assert key == check_key(key)


@pytest.mark.parametrize("key", ["", "canary\n", "canary key", "canäry", "canary\x7f", "x" * 513, "canary\t"])
def test_f55_an_unusable_key_is_not_repeated(key: str) -> None:
    """The error says what a key must be, and nothing of what this one is."""
    with pytest.raises(ConfigurationError) as caught:
        check_key(key)
    assert "canary" not in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://proxy:3128"}, "http://proxy:3128"),
        ({"https_proxy": "proxy:3128"}, "http://proxy:3128"),
        ({"ALL_PROXY": "http://all:1"}, "http://all:1"),
        ({"HTTP_PROXY": "http://plain:1"}, None),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "cloud.test"}, None),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": ".test"}, None),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "*"}, None),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "other.test"}, "http://proxy:3128"),
    ],
)
def test_f42_the_environment_names_the_proxy(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: str | None
) -> None:
    """HTTPS_PROXY, ALL_PROXY and NO_PROXY are honoured in both spellings."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert expected == environment_proxy("https://cloud.test/api/v1")
    assert environment_proxy("https://localhost/api/v1") is None
