"""Fetch the fleet of a cloud with one request, using this machine's key. Partner: `cli.fleet`, which prints it."""

from __future__ import annotations

from typing import Any

from gradata.config.settings import NO_KEY, SAVE_A_KEY, Settings
from gradata.errors import CloudAnswerError
from gradata.replicate.wiring import http_reader
from replicator.errors import CloudError, ConfigurationError

TIMEOUT_S = 15.0
ANSWER_BYTES_MAX = 64 * 1024 * 1024
"""A fleet of 10,000 brains is some 10 MB."""


def ask_fleet(settings: Settings, *, silent_s: float) -> dict[str, Any]:
    """The answer of `GET /fleet`. ConfigurationError without a key, CloudAnswerError for any other answer."""
    import orjson  # here: the command line must be quick where nothing is asked

    if settings.read_key() is None:
        raise ConfigurationError(NO_KEY, hint=f"paste a key that may read after: {SAVE_A_KEY}")
    reader = http_reader(settings.endpoint, settings.read_key)
    path = f"/fleet?silent_for={silent_s:g}"
    try:
        content = reader.document(path, bytes_max=ANSWER_BYTES_MAX, read_s=TIMEOUT_S)
    except CloudError as error:
        raise CloudAnswerError(
            str(error), hint=_HINTS.get(error.status, "check the endpoint and the network")
        ) from None
    finally:
        reader.close()
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError:
        document = None
    if isinstance(document, dict) and isinstance(document.get("brains"), list):
        return document
    raise CloudAnswerError(
        f"what answers at {reader.endpoint} is not the cloud", hint="check the endpoint (GRADATA_ENDPOINT) and proxies"
    )


_HINTS = {
    401: f"the key is unknown or was revoked; paste a key that works after: {SAVE_A_KEY}",
    403: "the key needs the scope read: gradata keys create --name NAME --scope read",
    404: "check the endpoint (GRADATA_ENDPOINT) and proxies",
}
