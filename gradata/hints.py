"""What a person can run or change, for each code that `replicator` tells: its own hints know no commands of ours.

Pure. `HINTS` goes to each Replicator; `hint_of` is for whoever prints an error. Codes of notices and troubles stand in
docs/operating.md, those of errors in the modules that raise them.
"""

from __future__ import annotations

from replicator.errors import ReplicatorError

_OF_NOTICES = {
    "unavailable": "nothing to do: it is tried again for ever. If it lasts, run: gradata doctor",
    "no_key": "put the API key into ~/.gradata/key (mode 0600), or set GRADATA_API_KEY",
    "no_consent": "nothing to do: it was switched off on purpose (sync_enabled or sync_mode in cloud-config.json)",
    "denied": "put a valid API key into ~/.gradata/key; replication goes on by itself. Run: gradata doctor",
    "misconfigured": "check the endpoint (GRADATA_ENDPOINT) and proxies. Run: gradata doctor",
    "malformed": "a proxy or an old server refuses valid requests; everything is kept. Run: gradata doctor",
    "refusing": "the cloud or a proxy refuses every record; everything is kept. Run: gradata doctor",
    "disagreement": "the answers are not those of the ingest server; check endpoint and proxies",
    "too_old": "upgrade the side that is named",
    "held": "confirm the new cloud with: gradata cursor reset --to-offset 0 --yes",
    "gone": "the brain was deleted at the cloud; to upload it again: gradata cursor reset --to-offset 0 --yes",
    "new_generation": "if this was not intended, run: gradata doctor",
    "dead_letter": "list them with: gradata dead-letters list",
}
_OF_ERRORS = {
    "endpoint_malformed": "set the endpoint to an address such as https://api.gradata.ai/api/v1",
    "endpoint_holds_key": "keep the key in ~/.gradata/key, and take it out of the address",
    "identity_malformed": "look into .tenant_id and .device_id of the brain",
    "key_malformed": "write the key alone on the first line of ~/.gradata/key",
    "key_missing": "put it into ~/.gradata/key",
    "cloud_garbled": "check the endpoint (GRADATA_ENDPOINT) and proxies",
    "cloud_denied": "put a valid API key into ~/.gradata/key",
    "cloud_forbidden": "the key needs the scope read: gradata keys create --scope ingest,read",
    "cloud_unknown_log": "see which logs there are: gradata restore --dry-run",
    "cloud_refused": "check the endpoint (GRADATA_ENDPOINT) and proxies; run: gradata doctor",
    "never_replicated": "run: gradata replicate",
    "too_many_differ": "send everything again: gradata cursor reset --to 0 --yes",
    "changed_meanwhile": "run it again: gradata verify",
    "repair_refused": "run it again later: gradata verify --repair",
    "beyond_cursor": "choose an offset up to the cursor; see: gradata cursor show",
    "letter_of_earlier_generation": "its record is gone from here; give it up with: gradata dead-letters drop {id}",
    "letter_unreadable": "give it up with: gradata dead-letters drop {id}",
    "sidecar_unusable": "gradata doctor",
    "sidecar_newer": "upgrade gradata",
    "sidecar_set_aside": "the replicator sets it aside by itself when it starts: gradata replicate --once",
}
HINTS = {**_OF_NOTICES, **_OF_ERRORS}


def hint_of(error: ReplicatorError, **fields: object) -> str:
    """What mends an error, as a command or setting of ours; its own hint where none of ours is better.

    `fields` are put into the hint: `id`, where it is about one dead letter.
    """
    hint = _OF_ERRORS.get(error.code)
    return error.hint if hint is None else hint.format(**fields) if fields else hint
