"""Run Prefect's server application in one process, with Roost's layers around it."""

from __future__ import annotations

import asyncio
import gc
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from roost_server.awake_windows import AwakeWindows
from roost_server.backend import VOLUME, effective_api_path, effective_url, is_sqlite, name_backend
from roost_server.disk_full import Fullness, refuse_when_full, survive_full, wait_until_end
from roost_server.disk_watch import watch_disk
from roost_server.draining import drain_before_shutdown
from roost_server.errors import BootError
from roost_server.event_deduplication import write_each_once
from roost_server.flow_server_parts import FlowServers
from roost_server.idle_suspend import Activity, AllWork, Work, watch
from roost_server.last_error import LAST_ERROR, name_failure
from roost_server.lean_imports import import_unchecked, key_settings_by_identity
from roost_server.lease_keeping import GRACE
from roost_server.lost_connections import repeat_lost
from roost_server.maintenance_mode import MaintenanceMode, is_logged_in
from roost_server.message_handover import MessageHandover
from roost_server.migration_lock import migrate_under_lock, postgres_lock
from roost_server.move_note import is_moved
from roost_server.postgres_address import Pooling, pooling_of
from roost_server.postgres_pooler import adapt_to_pooler
from roost_server.prefect_internals import CREATE_APP
from roost_server.redis_health import RedisHealth, pinger
from roost_server.redis_settings import is_replicated
from roost_server.server_report import report_to_gate
from roost_server.settings import DATABASE, has_replica, home_folder, uses_sqlite_file
from roost_server.settings_errors import explain, withhold_stderr
from roost_server.spare_memory import return_memory
from roost_server.sqlite_writers import queue_writes
from roost_server.vacuum import keep_shrinking
from roost_server.wake_notes import WakeNotes
from roost_server.write_freeze import WriteFreeze, refuse_freeze
from roost_server.write_queue import WriteQueue
from roost_server.write_requests import queue_requests

if TYPE_CHECKING:
    import uvicorn

    from roost_server.asgi import App, Receive, Scope, Send
    from roost_server.litestream import Replicator

# Longer than a proxy keeps an idle connection, so that no request meets a closing connection.
KEEP_ALIVE_S = 75
# A machine has 20 s to stop (stop_config); open streams and sockets get the first of them.
DRAIN_S = 3
LOOK_S = 0.05
# Unauthenticated pages that cost seconds of the event loop a request.
BLOCKED_PAGES = frozenset(
    {"/docs", "/redoc", "/openapi.json", "/api/docs", "/api/redoc", "/api/openapi.json"}
)
NO_PORT = "it cannot listen on its port"


def serve(environ: Mapping[str, str], began: float) -> int:
    """Serve until a signal; return the exit code.

    Args:
        environ: the settings of the server.
        began: when the program started, in seconds of the monotonic clock.

    Raises:
        BootError: a setting is not valid for Prefect.
    """
    replicator = make_replicator(environ)
    LAST_ERROR.learn_secrets(environ)
    LAST_ERROR.watch()
    # Replication starts before Prefect opens its database, so that no change is missed. In
    # maintenance mode it waits, so that an unproved database does not replace a proved one.
    has_volume = uses_sqlite_file(environ) or is_moved(environ)
    handover = MessageHandover(home_folder(environ)) if has_volume else None

    def on_open() -> None:
        if replicator:
            replicator.start()
        if handover:
            handover.open()

    maintenance = MaintenanceMode(home_folder(environ), environ, on_open=on_open)
    GRACE.is_open = maintenance.is_open
    try:
        fullness = Fullness(home_folder(environ))
        queue = WriteQueue(before_service=fullness.wait_for_room)
        windows = AwakeWindows(environ)
        flows = FlowServers(environ, maintenance.is_open, (windows,))
        wakes = WakeNotes(environ)

        async def report_more() -> Mapping[str, Any]:
            return {**windows.report(), **wakes.report(), **await flows.report()}

        app = flows.layer(make_app(environ, queue, fullness, handover, report_more))
        app = wakes.layer(maintenance.layer(app))
        imported = time.monotonic()
        flush = replicator.flush if replicator else None
        sleep = SleepGuards(
            AllWork((windows, flows.watch, flows.due_times, flows.announcer, wakes)), flush
        )
        return asyncio.run(_serve(app, environ, StartTimes(began, imported), sleep, queue, flows))
    finally:
        if replicator:
            replicator.stop()


def make_app(
    environ: Mapping[str, str],
    queue: WriteQueue,
    fullness: Fullness,
    handover: MessageHandover | None = None,
    report_more: Callable[[], Awaitable[Mapping[str, Any]]] | None = None,
) -> App:
    """Import Prefect, which reads its settings, and build its application with Roost's layers.

    Args:
        environ: holds the settings of the database and the login.
        queue: the queue of everything that writes to SQLite.
        fullness: knows whether the volume is full.
        handover: saves unhandled messages at a stop; None without a volume.
        report_more: returns what the report has beside the server itself.

    Raises:
        BootError: names the settings that are wrong, never their values.
    """
    from pydantic import ValidationError

    try:
        # Prefect prints such an error itself, with the values.
        with withhold_stderr(ValidationError):
            import_unchecked(environ)
            create_app = CREATE_APP.load()
            key_settings_by_identity()
            if handover:
                handover.watch()
                write_each_once()
            save = handover.save if handover else None
            app = wait_until_end(block_costly_pages(create_app()), fullness)
            app = drain_before_shutdown(app, save=save)
    except ValidationError as error:
        # Not chained: pydantic shows the values, and one may be a secret.
        raise BootError(explain(error)) from None
    backend = name_backend(effective_url(), home_folder(environ) / DATABASE)
    check_backend(backend, environ)
    app = report_to_gate(app, environ, partial(report, backend), report_more)
    if not is_sqlite(backend):
        if pooling_of(environ) is Pooling.TRANSACTION:
            adapt_to_pooler()
        app = migrate_under_lock(app, postgres_lock(environ))
        if is_replicated(environ):
            app = RedisHealth(pinger(environ)).layer(app)
        return refuse_freeze(repeat_lost(app), environ, backend)
    queue_writes(queue)
    survive_full(fullness)
    may_write = partial(is_logged_in, environ=environ)
    app = refuse_when_full(queue_requests(app, may_write=may_write), fullness)
    if backend != VOLUME:
        return refuse_freeze(app, environ, backend)
    return WriteFreeze(environ, queue).layer(app)


def block_costly_pages(app: App) -> App:
    """Answer 404 for the blocked pages."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].rstrip("/") in BLOCKED_PAGES:
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        await app(scope, receive, send)

    return serve


def check_backend(backend: str, environ: Mapping[str, str]) -> None:
    """Check that Prefect uses the database that this start prepared and that backups copy.

    Raises:
        BootError: Prefect uses another one, from a setting that only Prefect reads.
    """
    if uses_sqlite_file(environ) and backend != VOLUME:
        raise BootError(
            f"Prefect uses {backend}, and not the file on the volume, because a setting, a secret "
            "or a file of its settings names that; remove it, or set database.backend: postgres "
            "and database.url_secret, and apply again"
        )


def report(backend: str) -> dict[str, str]:
    """Return the report for the gate: the database, the API's path, and the last error."""
    return {
        "database": backend,
        "api_path": effective_api_path(),
        "last_error": LAST_ERROR.text,
    }


def make_server(app: App, environ: Mapping[str, str]) -> uvicorn.Server:
    """Create the HTTP server; it trusts the forwarded headers of any proxy."""
    import uvicorn

    return uvicorn.Server(
        uvicorn.Config(
            app,
            host=environ.get("PREFECT_SERVER_API_HOST", "127.0.0.1"),
            port=int(environ.get("PREFECT_SERVER_API_PORT", "4200")),
            forwarded_allow_ips="*",
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=DRAIN_S,
            log_level="warning",
        )
    )


@dataclass(frozen=True)
class StartTimes:
    """When the start began and when the imports ended, in seconds of the monotonic clock."""

    began: float
    imported: float


@dataclass(frozen=True)
class SleepGuards:
    """What comes before a sleep: work that keeps the server awake, and the flush of the replica."""

    work: Work
    flush: Callable[[], None] | None


def make_replicator(environ: Mapping[str, str]) -> Replicator | None:
    """Return the replicator of the database, or None if no replica is configured."""
    if not has_replica(environ):
        return None
    from roost_server.litestream import Replicator
    from roost_server.replica_config import read_replica

    return Replicator(read_replica(environ))


async def _serve(  # noqa: PLR0913, PLR0917 - what `serve` put together
    app: App,
    environ: Mapping[str, str],
    times: StartTimes,
    sleep: SleepGuards,
    queue: WriteQueue,
    flows: FlowServers,
) -> int:
    activity = Activity(flows.keeps_awake)
    server = make_server(activity.layer(app), environ)
    gc.freeze()
    gc.enable()
    # uvicorn raises the signal again after its shutdown, which would turn a stop into a failure.
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.signal(signal.SIGINT, lambda *_: None)
    watches = [
        watch(activity, environ, sleep.flush, sleep.work),
        flows.watch.run(),
        flows.due_times.run(),
        return_memory(lambda: bool(activity.open)),
    ]
    if uses_sqlite_file(environ):
        home = home_folder(environ)
        watches += [watch_disk(home), keep_shrinking(home / DATABASE, queue)]
    watching = asyncio.create_task(_log_ready_and_watch(server, times, watches))
    try:
        await server.serve()
    except SystemExit:  # uvicorn exits like this after it logged why a start failed
        failed = "Prefect failed while it started" if server.lifespan.should_exit else NO_PORT
        why = f" ({LAST_ERROR.text})" if LAST_ERROR.text else ""
        raise BootError(f"{failed}{why}; the lines above have the details") from None
    finally:
        watching.cancel()
    return 0 if server.started else 1


async def _keep_watching(watching: Coroutine[None, None, None]) -> None:
    """Run one background task; log its failure without ending the others."""
    try:
        await watching
    except Exception as error:  # noqa: BLE001 - any failure is logged and reported to the gate
        LAST_ERROR.note(f"a watch of the server ended ({name_failure(error)})")
        print(f"roost: {LAST_ERROR.text}", flush=True)


async def _log_ready_and_watch(
    server: uvicorn.Server, times: StartTimes, watches: Sequence[Coroutine[None, None, None]]
) -> None:
    try:
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(LOOK_S)
        now = time.monotonic()
        print(
            f"roost: ready after {now - times.began:.2f} s "
            f"(imports {times.imported - times.began:.2f}, "
            f"database and services {now - times.imported:.2f})",
            flush=True,
        )
        # Separately: a server that cannot check its volume must still suspend when idle.
        await asyncio.gather(*(_keep_watching(each) for each in watches))
    finally:
        for each in watches:
            each.close()
