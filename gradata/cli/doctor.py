"""`gradata doctor`: report what is wrong, since when, how much is waiting, and what to run."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from gradata.cli.commands import FINE, PROBLEM, Subparsers, add_brain, add_endpoint, add_json
from replicator.errors import ConfigurationError

if TYPE_CHECKING:
    from gradata.cli.terminal import Terminal
    from gradata.doctor import DoctorFinding, Health

NAME = "doctor"
HELP = "report what is wrong, since when, how much is waiting, and what to run"
WATCH_S = 5.0


@dataclass(frozen=True, slots=True)
class DoctorOptions:
    """`all_brains`: the directory to look for brains in. `backlog_max` None: as it is set."""

    brain: str | None
    endpoint: str | None
    json: bool
    cloud: bool
    all_brains: str | None
    watch: bool
    quiet: bool
    strict: bool
    backlog_max: int | None


@dataclass(frozen=True, slots=True)
class Examined:
    """One brain's findings."""

    brain: str
    verdict: Health
    findings: tuple[DoctorFinding, ...]


def add_parser(commands: Subparsers) -> None:
    parser = commands.add_parser(
        NAME,
        help=HELP,
        description="Check a brain and its replication. Changes nothing. Works with the replicator dead, the cloud "
        "down or the sidecar lost.",
        epilog="[+] ok, [-] skipped, [!] warning, [X] failure. Exit codes: 0 healthy or degraded, 1 broken (with "
        "--strict: or degraded), 2 wrong usage. A watchdog for cron: gradata doctor --quiet --strict || …",
    )
    add_brain(parser)
    add_endpoint(parser)
    add_json(parser)
    cloud = parser.add_mutually_exclusive_group()
    cloud.add_argument("--cloud", action="store_true", default=True, help="ask the cloud (the default)")
    cloud.add_argument("--no-cloud", dest="cloud", action="store_false", help="do not ask the cloud")
    parser.add_argument("--all-brains", metavar="DIR", help="check every brain at or below DIR")
    parser.add_argument("--watch", action="store_true", help="check again every few seconds, until Ctrl-C")
    parser.add_argument("--quiet", action="store_true", help="print only what causes a non-zero exit code")
    parser.add_argument("--strict", action="store_true", help="exit 1 when degraded, too")
    parser.add_argument(
        "--backlog-max", type=int, metavar="N", help="fail above N pending records (default: backlog_records_max, 1000)"
    )
    parser.set_defaults(run=lambda chosen, terminal: run(_options(chosen), terminal))


def _options(chosen: argparse.Namespace) -> DoctorOptions:
    return DoctorOptions(
        chosen.brain, chosen.endpoint, chosen.json, chosen.cloud, chosen.all_brains, chosen.watch, chosen.quiet,
        chosen.strict, chosen.backlog_max,
    )  # fmt: skip


def run(options: DoctorOptions, terminal: Terminal) -> int:
    """Print the findings. Returns 1 if a check failed."""
    if options.backlog_max is not None and options.backlog_max < 1:
        raise ConfigurationError("--backlog-max must be above 0", hint="gradata doctor --help")
    if options.all_brains is not None and options.brain is not None:
        raise ConfigurationError("--brain and --all-brains exclude each other", hint="gradata doctor --help")
    if options.watch:
        return _watch(options, terminal)
    examined = _examine(options)
    _show(examined, options, terminal)
    return _exit_code(examined, options)


def _examine(options: DoctorOptions) -> list[Examined]:
    import os
    from dataclasses import replace

    from gradata import doctor
    from gradata.doctor import collect

    brains: list[str | None] = [options.brain]
    if options.all_brains is not None:
        if not os.path.isdir(options.all_brains):
            raise ConfigurationError(
                f"{options.all_brains} is no directory", hint="name a directory that contains brains"
            )
        brains = [*collect.find_brains(options.all_brains)]
        if not brains:
            nothing = doctor.DoctorFinding(
                "brain", "fail", f"no brain at or below {options.all_brains}; gradata init DIR"
            )
            return [Examined(options.all_brains, "broken", (nothing,))]
    examined = []
    for facts in collect.collect_many(brains, options.endpoint, ask_cloud=options.cloud):
        if options.backlog_max is not None:
            limits = replace(facts.thresholds, backlog_records_max=options.backlog_max)
            facts = replace(facts, thresholds=limits)  # noqa: PLW2901
        findings = doctor.examine(facts)
        examined.append(Examined(facts.brain_dir, doctor.health(findings), findings))
    return examined


def _exit_code(examined: list[Examined], options: DoctorOptions) -> int:
    fine = ("healthy",) if options.strict else ("healthy", "degraded")
    return FINE if all(each.verdict in fine for each in examined) else PROBLEM


def _show(examined: list[Examined], options: DoctorOptions, terminal: Terminal) -> None:
    from gradata import doctor

    if options.quiet and _exit_code(examined, options) == FINE:
        return
    overall = doctor.worst(tuple(each.verdict for each in examined))
    if options.json:
        if options.all_brains is None:
            terminal.json({"status": overall, "checks": [asdict(finding) for finding in examined[0].findings]})
        else:
            brains = [
                {"brain": each.brain, "status": each.verdict, "checks": [asdict(finding) for finding in each.findings]}
                for each in examined
            ]
            terminal.json({"status": overall, "brains": brains})
        return
    several = options.all_brains is not None
    for each in examined:
        if several:
            terminal.out(f"{each.brain}: {each.verdict}")
        _show_findings(each, terminal, only_amiss=several or options.quiet)
    if several:
        counted = {verdict: sum(each.verdict == verdict for each in examined) for verdict in _VERDICTS}
        said = ", ".join(f"{count} {verdict}" for verdict, count in counted.items() if count)
        terminal.out(f"\n{len(examined)} brain{'s' * (len(examined) != 1)}: {said}")
    terminal.out(f"\n{overall}" if not several else overall)


_VERDICTS: tuple[Health, ...] = ("broken", "degraded", "healthy")


def _show_findings(examined: Examined, terminal: Terminal, *, only_amiss: bool) -> None:
    from gradata import doctor

    width = max(len(finding.name) for finding in examined.findings)
    for finding in examined.findings:
        if only_amiss and finding.status in ("ok", "skip"):
            continue
        mark = doctor.MARKS[finding.status]
        terminal.marked(finding.status, finding.detail, mark=f"  [{mark}] {finding.name:<{width}}   ")


def _watch(options: DoctorOptions, terminal: Terminal) -> int:
    """Refresh one page on a terminal; in a pipe, print when the status of a finding changes."""
    code, before = FINE, None
    try:
        while True:
            examined = _examine(options)
            code = _exit_code(examined, options)
            now = [(each.brain, finding.name, finding.status) for each in examined for finding in each.findings]
            if terminal.clear() or sorted(now) != before:
                _show(examined, options, terminal)
            before = sorted(now)
            time.sleep(WATCH_S)
    except KeyboardInterrupt:
        return code
