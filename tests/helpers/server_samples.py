"""Facts about a server for tests of findings: one machine, its events, and a file that can be edited."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml

from helpers.environments import environment_data
from roost.doctor.server_facts import ServerFacts
from roost.environment.load import load_environment
from roost.fly.models import Machine
from roost.operations.context import PROJECT
from roost.plan.cost import read_prices

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
GUEST = {"cpu_kind": "shared", "cpus": 1, "memory_mb": 512}


def event(kind, status, ago_s, **ending):
    """Return an event of a machine from so many seconds ago, with how it ended."""
    at = NOW - timedelta(seconds=ago_s)
    request = {"exit_event": ending} if ending else None
    return {
        "type": kind,
        "status": status,
        "timestamp": int(at.timestamp() * 1000),
        "request": request,
    }


def facts_of(
    folder: Path, *parts, events=(), state="started", metadata=None, **fields
) -> ServerFacts:
    """Return the facts of a server that nobody asked; the newest event is the first.

    Args:
        folder: gets the environment file.
        parts: of the file, see `environment_data`.
        events: of its machine.
        state: of its machine.
        metadata: of its machine.
        fields: of the file.
    """
    path = folder / "demo.yaml"
    data = environment_data(*parts, **fields)
    path.write_text(f"# ours\n{yaml.safe_dump(data, sort_keys=False)}")
    machine = Machine.model_validate(
        {
            "id": "m1",
            "state": state,
            "region": "iad",
            "instance_id": "v1",
            "events": list(events),
            "config": {"guest": GUEST, "metadata": metadata or {}},
        }
    )
    prices = read_prices(PROJECT / "deploy" / "prices.yaml")
    return ServerFacts(load_environment("demo", folder), NOW, (machine,), prices, addresses=2)


def with_machine(facts: ServerFacts, **fields) -> ServerFacts:
    """Return the facts with other fields of the machine."""
    return replace(facts, machines=(facts.machines[0].model_copy(update=fields),))
