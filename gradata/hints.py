"""Hints for each code that `replicator` reports: the `gradata` command or setting that helps.

Pure. The engine's own hints name no commands of this product. `HINTS` is passed to each Replicator; `hint_of` is for
whoever prints an error. The codes of notices and troubles are listed in docs/operating.md, those of errors in the
modules that raise them.
"""

from __future__ import annotations

from replicator.errors import ReplicatorError

_OF_NOTICES = {
    "unavailable": "nothing to do: it is retried indefinitely. If it lasts, run: gradata doctor",
    "no_key": "put the API key into ~/.gradata/key (mode 0600), or set GRADATA_API_KEY",
    "no_consent": "nothing to do: it was switched off on purpose (sync_enabled or sync_mode in cloud-config.json)",
    "denied": "put a valid API key into ~/.gradata/key; replication resumes automatically. Run: gradata doctor",
    "misconfigured": "check the endpoint (GRADATA_ENDPOINT) and proxies. Run: gradata doctor",
    "malformed": "a proxy or an old server rejects valid requests; everything is kept. Run: gradata doctor",
    "refusing": "the cloud or a proxy rejects every record; everything is kept. Run: gradata doctor",
    "disagreement": "the answers are not those of the ingest server; check endpoint and proxies",
    "too_old": "upgrade the side that the message names",
    "held": "confirm the new cloud with: gradata cursor reset --to-offset 0 --yes",
    "gone": "the brain was deleted at the cloud; to upload it again: gradata cursor reset --to-offset 0 --yes",
    "new_generation": "if this was not intended, run: gradata doctor",
    "dead_letter": "list them with: gradata dead-letters list",
}
_OF_ERRORS = {
    "endpoint_malformed": "set the endpoint to an address such as https://api.gradata.ai/api/v1",
    "endpoint_holds_key": "keep the key in ~/.gradata/key and remove it from the URL",
    "identity_malformed": "check .tenant_id and .device_id of the brain",
    "key_malformed": "write only the key on the first line of ~/.gradata/key",
    "key_missing": "put it into ~/.gradata/key",
    "cloud_garbled": "check the endpoint (GRADATA_ENDPOINT) and proxies",
    "cloud_denied": "put a valid API key into ~/.gradata/key",
    "cloud_forbidden": "the key needs the scope read: gradata keys create --scope ingest,read",
    "cloud_unknown_log": "list the logs: gradata restore --dry-run",
    "cloud_refused": "check the endpoint (GRADATA_ENDPOINT) and proxies; run: gradata doctor",
    "never_replicated": "run: gradata replicate",
    "too_many_differ": "send everything again: gradata cursor reset --to 0 --yes",
    "changed_meanwhile": "run it again: gradata verify",
    "repair_refused": "run it again later: gradata verify --repair",
    "beyond_cursor": "choose an offset up to the cursor; see: gradata cursor show",
    "letter_of_earlier_generation": "its record is no longer in this log; drop it with: gradata dead-letters drop {id}",
    "letter_unreadable": "drop it with: gradata dead-letters drop {id}",
    "sidecar_unusable": "gradata doctor",
    "sidecar_newer": "upgrade gradata",
    "sidecar_set_aside": "the replicator sets it aside automatically when it starts: gradata replicate --once",
}
HINTS = {**_OF_NOTICES, **_OF_ERRORS}


def hint_of(error: ReplicatorError, **fields: object) -> str:
    """The hint for an error: the command or setting of this product that helps, else the error's own hint.

    `fields` fill placeholders of the hint: `id` for one about a dead letter.
    """
    hint = _OF_ERRORS.get(error.code)
    return error.hint if hint is None else hint.format(**fields) if fields else hint
