"""`gradata serve`: run the cloud."""

from __future__ import annotations

import argparse
import signal
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from gradata.cli.commands import FINE, Subparsers, add_duration, needs_server

if TYPE_CHECKING:
    from gradata.cli.terminal import Terminal
    from gradata.cloud.server import Started

NAME = "serve"
HELP = "run the cloud"


@dataclass(frozen=True, slots=True)
class ServeOptions:
    host: str
    port: int
    store: str | None
    allow_remote: bool
    workers: int
    json: bool
    webhook: str | None = None
    silent_s: float = 300.0
    quiet_s: float = 259_200.0
    forwarded_allow_ips: str | None = None
    brains_max: int = 10_000
    logs_max: int = 1_000


def add_parser(commands: Subparsers) -> None:
    parser = commands.add_parser(
        NAME,
        help=HELP,
        description="Run the cloud until SIGTERM or Ctrl-C. The first start creates an admin key, prints it once, and"
        " keeps it beside the store in a file that only the owner can read.",
        epilog="Exit codes: 0 ended by a signal, 1 the store cannot be used, 2 the address cannot be used.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, default=8787, help="port to listen on (8787); 0: any free port")
    parser.add_argument(
        "--store", metavar="URL", help="sqlite:PATH or postgresql://… (default: SQLite in ~/.gradata/cloud)"
    )
    parser.add_argument(
        "--allow-remote",
        action="store_true",
        help="allow an address other machines can reach, although this is plain HTTP",
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=1,
        metavar="N",
        help="number of processes (1); more than one needs PostgreSQL. SIGHUP replaces them one by one without "
        "losing a request",
    )
    parser.add_argument(
        "--alert-webhook",
        metavar="URL",
        help="post to this https URL when a brain becomes silent, paused, quiet or refused, and when it has "
        "recovered; signed with the key in webhook.key beside the admin key",
    )
    add_duration(parser, "--silent-for", "5m", "a brain without a heartbeat for this long is silent")
    add_duration(
        parser, "--quiet-for", "3d", "a brain without new corrections for this long is quiet, until it has a history"
    )
    parser.add_argument(
        "--forwarded-allow-ips",
        metavar="IPS",
        help="proxies, separated by commas, whose X-Forwarded-For and X-Forwarded-Proto are believed (none)",
    )
    parser.add_argument(
        "--brains-max", type=int, default=10_000, metavar="N", help="brains that a workspace may have (10000)"
    )
    parser.add_argument("--logs-max", type=int, default=1_000, metavar="N", help="logs that a brain may have (1000)")
    parser.add_argument("--json", action="store_true", help="print the address as one line of JSON on stdout")
    parser.set_defaults(run=lambda chosen, terminal: run(_options(chosen), terminal))


def _options(chosen: argparse.Namespace) -> ServeOptions:
    return ServeOptions(
        chosen.host,
        chosen.port,
        chosen.store,
        chosen.allow_remote,
        chosen.workers,
        chosen.json,
        chosen.alert_webhook,
        chosen.silent_for,
        chosen.quiet_for,
        chosen.forwarded_allow_ips,
        chosen.brains_max,
        chosen.logs_max,
    )


def run(options: ServeOptions, terminal: Terminal) -> int:
    """Serve until a signal."""
    with needs_server():
        from gradata.cloud import server
        from gradata.cloud.domain import thresholds
        from gradata.cloud.http import context
    patience = thresholds.Patience(options.silent_s, options.quiet_s)
    if threading.current_thread() is threading.main_thread():
        # The server finishes its requests and then raises the signal anew: for a person that is a good end.
        signal.signal(signal.SIGTERM, _end)
        signal.signal(signal.SIGINT, _end)
    server.run(
        options.host,
        options.port,
        options.store,
        allow_remote=options.allow_remote,
        workers=options.workers,
        options=context.CloudOptions(
            alerting=thresholds.Alerting(options.webhook, patience),
            brains_max=options.brains_max,
            logs_max=options.logs_max,
            forwarded_allow_ips=options.forwarded_allow_ips,
        ),
        on_start=(lambda started: _say(started, terminal)) if options.json else None,
    )
    return FINE


def _end(_number: int, _frame: object) -> NoReturn:
    raise SystemExit(FINE)


def _say(started: Started, terminal: Terminal) -> None:
    terminal.json(
        {
            "url": started.url,
            "store": started.store_url,
            "key_path": started.key_path,
            "admin_key": started.admin_key,
        }
    )
