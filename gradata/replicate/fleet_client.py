"""Fetch the fleet of a cloud with one request, using this machine's key. Partner: `cli.fleet`, which prints it."""

from __future__ import annotations

from typing import Any

from gradata.config.settings import NO_KEY, SAVE_A_KEY, Settings
from gradata.errors import CloudAnswerError
from replicator.errors import ConfigurationError

TIMEOUT_S = 30.0
ANSWER_BYTES_MAX = 64 * 1024 * 1024
"""A fleet of 10,000 brains is some 10 MB."""


def ask_fleet(settings: Settings, *, silent_s: float) -> dict[str, Any]:
    """The answer of `GET /fleet`. ConfigurationError without a key, CloudAnswerError for any other answer."""
    import httpx  # here: the command line must be quick where nothing is asked
    import orjson

    from replicator.sink import check_endpoint, check_key

    key = settings.read_key()
    if key is None:
        raise ConfigurationError(NO_KEY, hint=f"paste a key that may read after: {SAVE_A_KEY}")
    base = check_endpoint(settings.endpoint)
    local = base.startswith("http://")
    content = bytearray()
    try:
        with (
            httpx.Client(timeout=TIMEOUT_S, follow_redirects=False, trust_env=not local, verify=not local) as client,
            client.stream(
                "GET",
                f"{base}/fleet",
                params={"silent_for": silent_s},
                headers={"Authorization": f"Bearer {check_key(key)}", "Accept-Encoding": "identity"},
            ) as answer,
        ):
            for part in answer.iter_raw():
                content += part
                if len(content) > ANSWER_BYTES_MAX:
                    raise CloudAnswerError("the cloud's answer is too long", hint="check the endpoint")
    except httpx.HTTPError as error:
        raise CloudAnswerError(
            f"the cloud at {base} does not answer: {type(error).__name__}", hint="check the endpoint and the network"
        ) from None  # the original names the request, and with it its headers
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError:
        document = None
    if answer.status_code == 200 and isinstance(document, dict) and isinstance(document.get("brains"), list):
        return document
    code = document.get("code") if isinstance(document, dict) else None
    raise CloudAnswerError(
        f"the cloud at {base} answered {answer.status_code}" + (f" {str(code)[:64]}" if code else ""),
        hint="the key needs the scope read: gradata keys create --scope read"
        if answer.status_code in (401, 403)
        else "check the endpoint (GRADATA_ENDPOINT) and proxies",
    )
