"""What programs written for the published SDK pass to a `Brain` and read from it: meant, or an error that says why not.

The table in docs/migrating.md lists all of it, and a test runs that table. Nothing of the SDK's learning is here.
Partner: `brain`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from replicator.errors import ConfigurationError

KEEP_IT = "keep the SDK beside this program: docs/migrating.md"
INIT_EVENT = "BRAIN_INIT"

_METHODS = """
absorb add_rule agent_profile apply_brain_rules approve_lesson approve_promotion auto_evolve backfill_from_git briefing
browse_tree budget_summary check_budget context_for convergence detect_implicit_feedback efficiency embed explain export
export_data export_rules export_rules_json export_skill export_skills export_tree forget get_constraints get_facts guard
health lineage log_output manifest memory observe on_notification patch_rule pending_promotions pipeline plan prove
record_correction reflect register_task_type register_tool reject_lesson reject_promotion review_pending rollback rules
run scope scoped_rules search share spawn_queue spend_budget stats trace track_rule
"""
_KEYS = """
diff pipeline lessons_created provenance provenance_hash requires_review adversarial_hits observation_fingerprint
observation_seen_count
"""
SDK_METHODS = frozenset(_METHODS.split())
"""Public methods of a Brain of 0.6.0 that are its learning, its search or its export."""

_RESULT_KEYS = frozenset(_KEYS.split())


class SdkMethods:
    """Says of the SDK's methods where they are, instead of that there is no such attribute."""

    if not TYPE_CHECKING:  # a type checker would take any name for an attribute

        def __getattr__(self, name: str) -> NoReturn:
            if name in SDK_METHODS:
                raise AttributeError(f"Brain.{name} is a method of the SDK, and not here; {KEEP_IT}")
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


class RecordedEvent(dict[str, Any]):
    """What `correct` and `emit` return: the event, and what became of it. Keys of the SDK's results that are not here
    say so when they are asked for."""

    def __missing__(self, key: str) -> Any:
        if key == "classifications" and "classifications" in self.get("data", {}):
            return self["data"]["classifications"]
        if key in _RESULT_KEYS:
            raise KeyError(f"{key}: the SDK's learning makes it, and this program does not; see the event's data")
        raise KeyError(key)


def one_key(key: str | None, api_key: str | None) -> str | None:
    """The API key under either name; ValueError for two that differ."""
    if key is not None and api_key is not None and key != api_key:
        raise ValueError("key and api_key are two names for one thing, and differ")
    return api_key if key is None else key


def refuse_encryption(encryption_key: str | None) -> None:
    """Raises ConfigurationError for a key: what it promises is not done here."""
    if encryption_key:
        raise ConfigurationError(
            "encryption_key: this program encrypts no brain; events.jsonl is plain text, in the SDK too",
            hint=f"leave it out: a database that the SDK encrypted (system.db.enc) is not touched; or {KEEP_IT}",
        )


def description(embedding: str | None, interactive: bool | None, **said: str | None) -> dict[str, str]:
    """What `Brain.init` was told of a new brain. Raises ValueError for what is not done here."""
    if embedding not in (None, "local"):
        raise ValueError(f"embedding={embedding!r}: nothing is embedded here; {KEEP_IT}")
    if interactive:
        raise ValueError("interactive=True: nothing is asked here; pass domain, name and company")
    return {name: value for name, value in said.items() if value}


def refuse_corrections_of_session(session_corrections: object) -> None:
    """Raises ValueError for corrections that are handed over at a session's end, where nothing would record them."""
    if session_corrections:
        raise ValueError("session_corrections: record each with Brain.correct; nothing is learned from a list here")
