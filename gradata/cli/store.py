"""`gradata store migrate`: create or upgrade the schema of a PostgreSQL store."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gradata.cli.commands import FINE, Subparsers, add_json, needs_server
from replicator.errors import ConfigurationError

if TYPE_CHECKING:
    from gradata.cli.terminal import Terminal

NAME = "store"
HELP = "create or upgrade the schema of a PostgreSQL store"


@dataclass(frozen=True, slots=True)
class Options:
    """`partitions` 0: plain tables."""

    store: str
    partitions: int
    json: bool


def add_parser(commands: Subparsers) -> None:
    parser = commands.add_parser(NAME, help=HELP, description="The store of a cloud.")
    parts = parser.add_subparsers(metavar="PART", required=True, parser_class=type(parser))
    part = parts.add_parser(
        "migrate",
        help="migrate the store to the latest schema",
        description="Migrate a PostgreSQL store to the latest schema. Safe to repeat, and while servers of the "
        "previous version are running. `gradata serve` does this at its start; use this command if the "
        "server's role may not create tables, or for partitions.",
        epilog="Exit codes: 0 the schema is up to date, 1 not possible, 2 wrong usage.",
    )
    part.add_argument("--store", required=True, metavar="URL", help="postgresql://…")
    part.add_argument(
        "--partitions",
        type=int,
        default=0,
        metavar="N",
        help="partition the large tables of an empty store by brain; 16 partitions cost 3 %% of the speed",
    )
    add_json(part)
    part.set_defaults(run=lambda chosen, terminal: run(_options(chosen), terminal))


def _options(chosen: argparse.Namespace) -> Options:
    return Options(chosen.store, chosen.partitions, chosen.json)


def run(options: Options, terminal: Terminal) -> int:
    """Migrate, and print the versions before and after."""
    with needs_server():
        from gradata.cloud.store.open import is_shared
    if not is_shared(options.store):
        raise ConfigurationError("only a PostgreSQL store can be migrated", hint="SQLite: `gradata serve` does it")
    with needs_server():
        from gradata.cloud.store.postgres.migrate import migrate_url
    done = migrate_url(options.store, partitions=options.partitions)
    if options.json:
        terminal.json({"from": done.before, "to": done.after})
    elif done.before == done.after:
        terminal.out(f"the schema is up to date: {done.after}")
    else:
        terminal.out(f"schema {done.before} -> {done.after}")
    return FINE
