"""Compares a brain's log with its copy in the cloud: the implementation of `gradata verify`.

Combines `replicator.recovery`, which only knows logs, with settings, ids and the user's consent.
"""

from __future__ import annotations

from dataclasses import dataclass

from gradata.config import brain_dir
from gradata.config.settings import Settings
from gradata.replicate import once
from gradata.replicate.wiring import http_reader
from replicator import recovery
from replicator.errors import SidecarError
from replicator.model import Standing
from replicator.recovery.local import LocalTree, OnRecords
from replicator.recovery.repair import Repaired, mended, repair
from replicator.recovery.verify import Comparison, ReplicaVerdict
from replicator.saved_state import saved_status
from replicator.status import Status, refreshed, report
from replicator.wire import Report


@dataclass(frozen=True, slots=True)
class Proof:
    """The verdict and the repair. `mended`: records that are correct at the cloud since.

    `wire_bytes`: bytes transferred in both directions.
    """

    verdict: ReplicaVerdict
    repaired: Repaired | None = None
    mended: int = 0
    wire_bytes: int = 0


def prove(settings: Settings, *, deep: bool, repairing: bool, on_progress: OnRecords) -> Proof:
    """Compare the brain's log with its copy; with `repairing`, resend what the copy lost.

    CloudError if the cloud does not answer; ConfigurationError if nothing may be asked or sent.
    """
    place = brain_dir.find(settings.brain_dir)
    endpoint = once.permitted(settings)
    reader = http_reader(endpoint, settings.read_key)
    try:
        comparison = Comparison(place.log, reader, deep=deep or repairing, on_progress=on_progress)
        verdict = comparison.verdict(_standing(place.log), brain_id=brain_dir.identify(place).brain_id)
        repaired, right = None, 0
        if repairing and (verdict.missing or verdict.damaged):
            sink = once.open_sink(settings, place)
            try:
                repaired = repair(comparison.tree, verdict, sink, _report(place.log, comparison.tree))
            finally:
                sink.close()
            right = mended(verdict, reader)
        return Proof(verdict, repaired, right, reader.received_bytes + reader.sent_bytes)
    finally:
        reader.close()


def _report(log: str, tree: LocalTree) -> Report:
    """How the log's replicator said that it is; the cloud shows what came last."""
    status = saved_status(log)
    return report(refreshed(status or Status("starting", "", ""), log_bytes=tree.end))


def _standing(log: str) -> Standing | None:
    """What the sidecar says; None without one that can be read: then the cloud is asked which log this is."""
    try:
        return recovery.standing(log)
    except SidecarError:
        return None
