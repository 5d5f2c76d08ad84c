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
    return tuple(f"tests/unit/{name}.py" for name in names)


_ALL = (
    Target("proof", ("replicator/proof.py",), _units("replicator/test_proof")),
    Target("pacing", ("replicator/pacing.py",), _units("replicator/test_pacing")),
    Target("framing", ("replicator/framing.py",), _units("replicator/test_framing")),
    Target(
        "progress",
        tuple(
            f"replicator/progress/{name}.py"
            for name in (
                "table",
                "state",
                "trouble",
                "transitions",
                "line",
                "log_side",
                "heads",
                "acks",
                "refusals",
            )
        ),
        _units(
            "replicator/progress/test_progress", "replicator/progress/test_table", "replicator/progress/test_trouble"
        ),
    ),
    Target(
        "wire",
        ("replicator/wire/client.py", "replicator/wire/common.py", "replicator/wire/server.py"),
        tuple(
            f"tests/unit/replicator/wire/test_{name}.py" for name in ("client", "server", "wire_golden", "wire_words")
        ),
    ),
    Target("status", ("replicator/status.py",), _units("replicator/test_status", "replicator/test_engine")),
    Target(
        "model",
        ("replicator/model.py", "replicator/actions.py"),
        _units(
            "replicator/test_model",
            "replicator/progress/test_progress",
            "replicator/progress/test_trouble",
            "replicator/wire/test_server",
            "replicator/log/test_reading",
        ),
    ),
    Target("correction", ("gradata/brain/correction_diff.py",), _units("gradata/brain/test_correction_diff")),
    Target("events", ("gradata/brain/events.py",), _units("gradata/brain/test_events")),
    Target(
        "ingest",
        ("gradata/cloud/domain/plan.py", "gradata/cloud/domain/write_set.py"),
        _units("gradata/cloud/domain/test_plan", "gradata/cloud/domain/test_plan_words"),
    ),
    Target(
        "tiles",
        ("gradata/cloud/domain/tiles.py",),
        _units("gradata/cloud/domain/test_tiles", "gradata/cloud/domain/test_plan"),
    ),
)
TARGETS = {target.name: target for target in _ALL}
