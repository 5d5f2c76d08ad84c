"""Runs the cloud: the implementation of `gradata serve`.

Needs no configuration: an SQLite store in a data directory and, at the first start, an admin key that is printed once
and kept in a file that only its owner can read. Refuses to listen beyond loopback unless told to, and to use a port or
store that another process has.
"""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import uvicorn

from gradata.cloud.app import create_app
from gradata.cloud.http.context import CloudOptions
from gradata.cloud.http.request_log import write_json_lines
from gradata.cloud.service.alerts import check_webhook
from gradata.cloud.service.api_keys import create_key, list_keys
from gradata.cloud.store.open import is_shared, open_store, shown
from gradata.cloud.store.port import Store
from gradata.cloud.store.values import StoreError
from gradata.cloud.workers import WORKERS_MAX, WorkerSupervisor
from gradata.config.private_directories import make_private
from replicator.errors import ConfigurationError

HOST = "127.0.0.1"
PORT = 8787
DATA_DIRECTORY = "~/.gradata/cloud"
KEEP_ALIVE_S = 75
"""More than the 30 s after which clients close an idle connection, so that the client decides the race at reuse."""
SHUTDOWN_S = 10
DESCRIPTORS_WANTED = 8_192
GC_OBJECTS = 50_000
SWITCH_S = 0.0005
"""Switch interval of the interpreter's lock in seconds. With the default of 5 ms the writing thread would wait within a
transaction until the event loop has interpreted everything that arrived.
"""


@dataclass(frozen=True, slots=True)
class Started:
    """The facts to print at the start. `admin_key` only at the very first one."""

    url: str
    store_url: str
    key_path: str
    admin_key: str | None


def run(
    host: str = HOST,
    port: int = PORT,
    store_url: str | None = None,
    *,
    allow_remote: bool = False,
    workers: int = 1,
    options: CloudOptions | None = None,
    on_start: Callable[[Started], None] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then finish the requests in progress for at most SHUTDOWN_S seconds.

    `store_url` None: SQLite in DATA_DIRECTORY. `port` 0: any free one. `workers`: number of processes; more than one
    needs PostgreSQL, and SIGHUP replaces them one by one. `on_start` is called when the port is open; by default it
    prints to stderr. Raises ConfigurationError or StoreError, each with a hint, before anything is served.
    """
    if not allow_remote and not is_loopback(host):
        raise ConfigurationError(
            f"{host} can be reached from other machines, and this server speaks plain HTTP",
            hint="put a TLS proxy before 127.0.0.1, or insist with --allow-remote",
        )
    url = store_url or f"sqlite:{os.path.expanduser(DATA_DIRECTORY)}/cloud.db"
    if not 1 <= workers <= WORKERS_MAX or (workers > 1 and not is_shared(url)):
        raise ConfigurationError(
            f"{workers} workers on this store", hint=f"1, or up to {WORKERS_MAX} with --store postgresql://…"
        )
    listening = _listen(host, port)
    try:
        store = open_store(url, serving=True)
        try:
            started = _start(store, url, listening, options)
        except BaseException:
            store.close()
            raise
        say = partial(on_start or announce, started)
        if workers == 1:
            _serve(store, listening, options, say)  # said when it serves: a signal before would find it half built
        else:
            say()
            store.close()
            WorkerSupervisor(partial(_serve_shared, url, options), listening, workers).run()
    finally:
        listening.close()


def announce(started: Started) -> None:
    """Print the URL and, if it was just created, the admin key on a line of its own to stderr."""
    lines = [f"gradata cloud at {started.url} (store {started.store_url})"]
    if started.admin_key is not None:
        lines += [f"admin key, shown once, kept in {started.key_path}:", started.admin_key]
    sys.stderr.write("\n".join(lines) + "\n")
    sys.stderr.flush()


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach this address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(2048)
    except OSError as error:
        listening.close()
        raise ConfigurationError(
            f"cannot listen on {host} port {port}: {error.strerror}",
            hint="another server has the port? Name a free one with --port",
        ) from error
    return listening


def _start(store: Store, url: str, listening: socket.socket, options: CloudOptions | None) -> Started:
    directory = _data_directory(url)
    key_path = os.path.join(directory, "admin.key")
    key = None
    if not any("admin" in kept.scopes for kept in list_keys(store)):
        key = create_key(store, "admin", ("admin", "ingest", "read"))
        _keep_key(directory, key_path, key)
    if options is not None and options.alerting.webhook is not None:
        check_webhook(options.alerting.webhook)
        _keep_key(directory, os.path.join(directory, "webhook.key"), store.secret("webhook").hex())
    host, port = listening.getsockname()[:2]
    where = f"[{host}]" if ":" in host else host
    return Started(f"http://{where}:{port}/api/v1", shown(url), key_path, key)


def _data_directory(url: str) -> str:
    scheme, _, path = url.partition(":")
    if scheme == "sqlite" and path != ":memory:":
        return os.path.dirname(os.path.abspath(os.path.expanduser(path.removeprefix("//"))))
    return os.path.expanduser(DATA_DIRECTORY)


def _keep_key(directory: str, path: str, key: str) -> None:
    fresh = f"{path}.new"
    try:
        make_private(directory)
        if os.path.lexists(fresh):
            os.unlink(fresh)  # left by a start that was killed
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(f"{key}\n")
        os.replace(fresh, path)
    except OSError as error:
        raise StoreError(
            f"a key cannot be kept in {path}: {error.strerror}",
            hint="make the directory writable, or make a key with: gradata keys create",
        ) from error


def _serve_shared(url: str, options: CloudOptions | None, listening: socket.socket, ready: Callable[[], None]) -> None:
    """One of several servers. The store may be unavailable at the start; it is opened when it is needed."""
    from gradata.cloud.store.postgres.store import PostgresStore  # only this store can be shared

    _serve(PostgresStore(url), listening, options, ready)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()


def _serve(
    store: Store, listening: socket.socket, options: CloudOptions | None, ready: Callable[[], None] = lambda: None
) -> None:
    _raise_descriptor_limit()
    # A batch makes tens of thousands of objects that live until its commit: with the collector's defaults it would
    # walk all of them many times over for nothing.
    gc.freeze()
    gc.set_threshold(GC_OBJECTS, 20, 50)
    sys.setswitchinterval(SWITCH_S)
    write_json_lines()
    wanted = options or CloudOptions()
    config = uvicorn.Config(
        create_app(store, options=wanted),
        loop="auto",
        http=_protocol(),
        ws="none",
        lifespan="on",
        interface="asgi3",
        access_log=False,
        log_config=None,
        log_level="warning",
        proxy_headers=wanted.forwarded_allow_ips is not None,
        forwarded_allow_ips=wanted.forwarded_allow_ips,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=SHUTDOWN_S,
    )
    _Server(config, ready).run(sockets=[listening])


def _protocol() -> type[asyncio.Protocol] | Literal["auto"]:
    try:
        from gradata.cloud.http.connection import BoundedHttp  # needs httptools, which Windows has not
    except ImportError:
        return "auto"
    return BoundedHttp


def _raise_descriptor_limit() -> None:
    try:
        import resource  # not on Windows
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS_WANTED if hard == resource.RLIM_INFINITY else min(DESCRIPTORS_WANTED, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
