"""Which modules are mutated, and which tests must object."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """`files` are changed, `tests` judge."""

    name: str
    files: tuple[str, ...]
    tests: tuple[str, ...]


def _units(*names: str) -> tuple[str, ...]:
    return tuple(f"tests/unit/test_{name}.py" for name in names)


_ALL = (
    Target("proof", ("replicator/proof.py",), _units("proof")),
    Target("pacing", ("replicator/pacing.py",), _units("pacing")),
    Target("framing", ("replicator/framing.py",), _units("framing")),
    Target(
        "progress",
        tuple(
            f"replicator/progress/{name}.py"
            for name in ("table", "state", "trouble", "transitions", "log_side", "heads", "acks", "refusals")
        ),
        _units("progress"),
    ),
    Target(
        "wire",
        ("replicator/wire/client.py", "replicator/wire/common.py", "replicator/wire/server.py"),
        _units("wire_answers", "wire_golden", "wire_requests", "wire_words"),
    ),
    Target("status", ("replicator/status.py",), _units("status", "engine")),
    Target(
        "model",
        ("replicator/model.py", "replicator/actions.py"),
        _units("model", "progress", "wire_requests", "log_reader"),
    ),
    Target("correction", ("gradata/brain/correction_diff.py",), _units("correction")),
    Target("events", ("gradata/brain/events.py",), _units("events")),
    Target(
        "ingest",
        ("gradata/cloud/domain/plan.py", "gradata/cloud/domain/write_set.py"),
        _units("ingest", "ingest_words"),
    ),
    Target("tiles", ("gradata/cloud/domain/tiles.py",), _units("tiles", "ingest")),
)
TARGETS = {target.name: target for target in _ALL}
