"""Fill a database of Prefect's on SQLite with runs and what belongs to them, quickly, by SQL."""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

AT = "2026-11-30 12:00:00.123456"
STATES = (("SCHEDULED", "Scheduled"), ("RUNNING", "Running"), ("COMPLETED", "Completed"))
LOGS, EVENTS = 5, 3
BATCH = 2000
Rows = dict[str, list[dict[str, Any]]]


def fill(database: Path, runs: int) -> None:
    """Add a flow, a key for encryption, and so many runs with states, logs and events.

    Args:
        database: a file with Prefect's schema.
        runs: how many runs.
    """
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        for pragma in ("journal_mode = WAL", "synchronous = OFF", "foreign_keys = OFF"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("BEGIN")
        flow = _row(name="filled", tags='["a", "caf\\u00e9"]', labels="{}")
        key = _row(key="ENCRYPTION_KEY", value=json.dumps({"fernet_key": "x" * 44}))
        insert(connection, {"flow": [flow], "configuration": [key]})
        for first in range(0, runs, BATCH):
            rows: Rows = {}
            for number in range(first, min(first + BATCH, runs)):
                _add_run(rows, number, flow["id"])
            insert(connection, rows)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def insert(connection: sqlite3.Connection, rows: Rows) -> None:
    """Add rows to tables."""
    for table, found in rows.items():
        names = list(found[0])
        columns = ", ".join(f'"{name}"' for name in names)
        places = ", ".join("?" * len(names))
        values: Iterable[tuple[Any, ...]] = (tuple(row[name] for name in names) for row in found)
        connection.executemany(f'INSERT INTO "{table}" ({columns}) VALUES ({places})', values)


def _row(**fields: Any) -> dict[str, Any]:
    return {"id": str(uuid.uuid4()), "created": AT, "updated": AT, **fields}


def _add_run(rows: Rows, number: int, flow: str) -> None:
    run = _row(
        name=f"run-{number}",
        state_type="COMPLETED",
        run_count=1,
        expected_start_time=AT,
        start_time=AT,
        end_time=AT,
        total_run_time="1970-01-01 00:00:05.250000",
        parameters=json.dumps({"number": number, "part": number / 7}),
        idempotency_key=f"key-{number}",
        context="{}",
        empirical_policy='{"max_retries": 0, "retry_delay_seconds": 0.0, "retries": 0}',
        tags="[]",
        auto_scheduled=0,
        flow_id=flow,
        state_name="Completed",
        state_timestamp=AT,
        job_variables="{}",
        labels=json.dumps({"prefect.flow.id": flow}),
    )
    states = [_state(run["id"], n, kind, name) for n, (kind, name) in enumerate(STATES)]
    run["state_id"] = states[-1]["id"]
    logs = [
        _log(run["id"], f"Line {n} of run {number}: done, and on it goes.") for n in range(LOGS)
    ]
    rows.setdefault("flow_run", []).append(run)
    rows.setdefault("flow_run_state", []).extend(states)
    rows.setdefault("log", []).extend(logs)
    for _ in range(EVENTS):
        _add_event(rows, run["id"], flow)


def _state(run: str, number: int, kind: str, name: str) -> dict[str, Any]:
    details = {"flow_run_id": run, "task_run_id": None, "pause_timeout": None}
    return _row(
        type=kind,
        timestamp=f"2026-11-30 12:00:0{number}.000000",
        name=name,
        message="",
        state_details=json.dumps(details),
        data="null",
        flow_run_id=run,
    )


def _log(run: str, message: str) -> dict[str, Any]:
    return _row(name="prefect.flow_runs", level=20, flow_run_id=run, message=message, timestamp=AT)


def _add_event(rows: Rows, run: str, flow: str) -> None:
    own = {"prefect.resource.id": f"prefect.flow-run.{run}", "prefect.state-name": "Running"}
    other = {"prefect.resource.id": f"prefect.flow.{flow}", "prefect.resource.role": "flow"}
    event = _row(
        occurred=AT,
        event="prefect.flow-run.Running",
        resource_id=own["prefect.resource.id"],
        resource=json.dumps(own),
        related_resource_ids=json.dumps([other["prefect.resource.id"]]),
        related=json.dumps([other]),
        payload=json.dumps({"intended": {"from": "PENDING", "to": "RUNNING"}}),
        received=AT,
        recorded=AT,
    )
    rows.setdefault("events", []).append(event)
    for resource, role in ((own, ""), (other, "flow")):
        row = _row(
            occurred=AT,
            resource_id=resource["prefect.resource.id"],
            resource_role=role,
            resource=json.dumps(resource),
            event_id=event["id"],
        )
        rows.setdefault("event_resources", []).append(row)
