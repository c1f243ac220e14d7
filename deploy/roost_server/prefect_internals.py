"""The internals of Prefect that this server uses: every import of Prefect goes through this list.

Prefect promises none of them, and a release may move one. `bake` checks the list when an image is
built, so a moved internal fails the build instead of a machine. `python -m
roost_server.prefect_internals` checks it with the installed Prefect. Prefect is imported when an
entry is loaded, not before, because it reads its settings when it is imported.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module, metadata
from operator import attrgetter
from types import SimpleNamespace
from typing import Any

from roost_server.errors import MovedError


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _itself(part: Any) -> Any:
    return part


@dataclass(frozen=True)
class Internal:
    """One internal of Prefect, or of a library that Prefect uses.

    Args:
        module: the module to import.
        name: the name in the module; empty for the module itself.
        why: what Roost needs it for.
        since: the first release that has it here; it is not checked with older releases. Tried were
            3.1.13 (the oldest that this server runs), each 3.4 about a change, 3.6.13, 3.7.8,
            3.8.8, 3.9.1.
        parts: the attributes that Roost reads, as dotted names.
        takes: the arguments of each function that Roost calls or replaces; "" is the internal
            itself.
        seen_as: converts the internal into the object that has the parts.
    """

    module: str
    name: str
    why: str
    since: str
    parts: tuple[str, ...] = ()
    takes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    seen_as: Callable[[Any], Any] = _itself

    @property
    def place(self) -> str:
        """The module and the name, as `module:name`."""
        return f"{self.module}:{self.name}" if self.name else self.module

    def load(self) -> Any:
        """Import it; errors of the import, such as a wrong setting, are not converted."""
        module = import_module(self.module)
        return getattr(module, self.name) if self.name else module

    def is_due(self, version: str) -> bool:
        """Return whether a release should have it."""
        return _number(version) >= _number(self.since)

    def prove(self) -> None:
        """Load it and check that it has each part.

        Raises:
            MovedError: names the entry, the installed Prefect, and what Roost needs it for.
        """
        try:
            part = self.load()
            seen = self.seen_as(part)
            for name in self.parts:
                attrgetter(name)(seen)
            for name, taken in self.takes.items():
                self._prove_call(attrgetter(name)(part) if name else part, taken)
        except (ImportError, AttributeError, TypeError, LookupError) as error:
            raise MovedError(
                f"Prefect {installed()} has no {self.place} as Roost uses it "
                f"({type(error).__name__}: {error}). Roost needs it to {self.why}; Prefect has it "
                f"since {self.since}. Find where it moved, or which library is too new, and "
                "fix its entry in deploy/roost_server/prefect_internals.py"
            ) from error

    @staticmethod
    def _prove_call(function: Any, taken: tuple[str, ...]) -> None:
        known = inspect.signature(function).parameters
        if missing := [name for name in taken if name not in known]:
            raise LookupError(f"{function.__qualname__} takes no {', '.join(missing)}")


def _subscribed(topic: Any) -> Any:
    """Return a topic, its class and one subscription, as Prefect's services create them."""
    made = topic("roost")
    return SimpleNamespace(topics=topic._topics, topic=made, subscription=made.subscribe())  # noqa: SLF001 - this module lists private parts


CREATE_APP = Internal(
    "prefect.server.api.server",
    "create_app",
    why="serve Prefect's application with layers around it",
    since="3.1.13",
)
PROVIDE_DATABASE = Internal(
    "prefect.server.database",
    "provide_database_interface",
    why="migrate the database of the image, list the revisions that a Prefect knows, and read runs",
    since="3.1.13",
    parts=(
        *("create_db", "engine", "session", "session_context", "orm.versions_dir", "Event.id"),
        *("Configuration.key", "Configuration.value", "Deployment.name", "Flow.name"),
        *("FlowRun.state_type", "FlowRun.state_name", "FlowRun.next_scheduled_start_time"),
        *("FlowRun.deployment_id", "FlowRun.work_queue_id", "FlowRun.auto_scheduled"),
        *(
            "FlowRun.parameters",
            "FlowRun.run_count",
            "FlowRun.empirical_policy",
            "FlowRun.parent_task_run_id",
            "FlowRun.end_time",
            "FlowRun.updated",
            "TaskRun.flow_run_id",
        ),
        *("WorkQueue.work_pool_id", "WorkQueue.is_paused", "WorkPool.name", "WorkPool.is_paused"),
        *("WorkQueue.name", "WorkQueue.concurrency_limit", "WorkPool.concurrency_limit"),
    ),
    takes={"": ()},
    seen_as=lambda provide: provide(),
)
ALEMBIC_CONFIG = Internal(
    "prefect.server.database.alembic_commands",
    "alembic_config",
    why="list the revisions that a Prefect knows, for the guard of upgrades",
    since="3.1.13",
    takes={"": ()},
)
LOAD_COLLECTIONS = Internal(
    "prefect.plugins",
    "load_prefect_collections",
    why="register blocks once, in the database of the image",
    since="3.1.13",
    takes={"": ()},
)
REGISTER_BLOCKS = Internal(
    "prefect.server.models.block_registration",
    "run_block_auto_registration",
    why="register blocks once, in the database of the image",
    since="3.1.13",
    takes={"": ("session",)},
)
DB_VACUUM = Internal(
    "prefect.server.services.db_vacuum",
    "",
    why="let Prefect's vacuum free space while the volume is full",
    since="3.6.21",
    takes={"_batch_delete": ("db", "model", "condition", "batch_size")},
)
TOPIC = Internal(
    "prefect.server.utilities.messaging.memory",
    "Topic",
    why="count the events that wait in memory, and end only when there are none",
    since="3.1.13",
    parts=(
        *("topics.values", "topic._subscriptions"),
        *("subscription._queue.qsize", "subscription._retry.qsize"),
    ),
    seen_as=_subscribed,
)
CONSUMER = Internal(
    "prefect.server.utilities.messaging.memory",
    "Consumer",
    why="know which service reads which queue, and save for it the messages that a stop leaves",
    since="3.1.13",
    takes={"__init__": ("self", "topic", "subscription")},
)
MESSAGE = Internal(
    "prefect.server.utilities.messaging.memory",
    "MemoryMessage",
    why="put a message that a stop left back into its queue",
    since="3.1.13",
    takes={"": ("data", "attributes", "retry_count")},
)
EVENT_STORAGE = Internal(
    "prefect.server.events.storage.database",
    "",
    why="write an event to SQLite once, however often it arrives",
    since="3.1.13",
    takes={"_write_sqlite_events": ("session", "events")},
)
TRIGGERS = Internal(
    "prefect.server.events.triggers",
    "",
    why="listen for no notification of Postgres behind a transaction pooler",
    since="3.7.8",
    parts=("get_pg_notify_connection", "reconcile_automations"),
)
SQLITE_CONFIGURATION = Internal(
    "prefect.server.database.configurations",
    "AioSqliteConfiguration",
    why="let a transaction wait in the write queue, and begin it as one that writes",
    since="3.1.13",
    takes={"begin_transaction": ("self", "session", "with_for_update")},
)
LEASE_FILES = Internal(
    "prefect.server.concurrency.lease_storage.filesystem",
    "ConcurrencyLeaseStorage",
    why="keep concurrency leases on the volume, so that a restart loses none",
    since="3.4.9",
    takes={
        "create_lease": ("resource_ids", "ttl", "metadata"),
        "renew_lease": ("lease_id", "ttl"),
        "revoke_lease": ("lease_id",),
        "read_lease": ("lease_id",),
        "read_expired_lease_ids": ("limit",),
    },
)
CURRENT_SETTINGS = Internal(
    "prefect.settings",
    "get_current_settings",
    why="know the database that Prefect resolved, and how often it looks for expired leases",
    since="3.4.9",
    parts=(
        *("server.services.repossessor.loop_seconds", "server.api.base_path"),
        "server.database.connection_url.get_secret_value",
    ),
    seen_as=lambda current: current(),
)
SETTINGS = Internal(
    "prefect.settings.models.root",
    "Settings",
    why="list the settings of a Prefect (deploy/settings)",
    since="3.1.13",
    parts=("model_config", "model_fields"),
)
KEYED_SETTINGS = Internal(
    "prefect.settings",
    "Settings",
    why="make the one application without writing out all settings twice",
    since="3.1.13",
    takes={"hash_key": ("self",)},
)
LOGGING_FILE = Internal(
    "prefect.logging.configuration",
    "DEFAULT_LOGGING_SETTINGS_PATH",
    why="list the loggers that settings can change (deploy/settings)",
    since="3.1.13",
    parts=("read_text",),
)
CONFIGURATIONS = Internal(
    "prefect.server.models.configuration",
    "",
    why="keep the records of flow servers in Prefect's database",
    since="3.1.13",
    takes={
        "write_configuration": ("session", "configuration"),
        "delete_configuration": ("session", "key"),
    },
)
CONFIGURATION = Internal(
    "prefect.server.schemas.core",
    "Configuration",
    why="keep the records of flow servers in Prefect's database",
    since="3.1.13",
    parts=("key", "value"),
    seen_as=lambda configuration: configuration(key="roost", value={}),
)
SET_RUN_STATE = Internal(
    "prefect.server.models.flow_runs",
    "set_flow_run_state",
    why="end the runs of a flow server that is gone, and skip missed runs",
    since="3.1.13",
    takes={"": ("session", "flow_run_id", "state", "force")},
)
STATES = Internal(
    "prefect.server.schemas.states",
    "",
    why="end the runs of a flow server that is gone, and skip missed runs",
    since="3.1.13",
    takes={"AwaitingRetry": ("scheduled_time",)},
    parts=("Crashed", "Cancelled", "StateType.SCHEDULED"),
)
AWAIT_ONLY = Internal(
    "sqlalchemy.util",
    "await_only",
    why="wait for a write slot within a statement, which SQLAlchemy runs in a greenlet",
    since="3.1.13",  # SQLAlchemy's own: in 2.0 (Prefect 3.8.8) and in 2.1 (3.9.1)
    takes={"": ("awaitable",)},
)
INTERNALS = {name: each for name, each in globals().items() if isinstance(each, Internal)}


def installed() -> str:
    """Return the version of the installed Prefect."""
    try:
        return metadata.version("prefect")
    except metadata.PackageNotFoundError:
        return "(none)"


def moved() -> Iterator[str]:
    """Return each internal that moved, as `ENTRY: what is wrong`."""
    for name, each in INTERNALS.items():
        if not each.is_due(installed()):
            continue
        try:
            each.prove()
        except MovedError as error:
            yield f"{name}: {error}"


def main() -> int:
    """Print each internal that moved; return 1 if there is one."""
    found = list(moved())
    for line in found:
        print(line)
    if not found:
        print(f"Prefect {installed()}: all {len(INTERNALS)} parts are where Roost uses them")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
