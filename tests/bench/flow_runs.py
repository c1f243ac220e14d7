"""Start a flow run as the UI does, and read from the server when it ran and when it ended."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bench.client import Client, basic
from bench.errors import BenchError

LOOK_S = 0.25
LIMIT_S = 180.0
FAILED = frozenset({"FAILED", "CRASHED", "CANCELLED"})


@dataclass(frozen=True)
class Took:
    """The seconds from "run" pressed until a state of the run."""

    running: float
    completed: float


def find_deployment(url: str, login: str, name: str) -> str | None:
    """Return the id of a deployment; None if there is none of that name."""
    with Client(url, basic(login)) as client:
        found = client.post("/api/deployments/filter", {}).json()
    return next((str(each["id"]) for each in found if each["name"] == name), None)


def press_run(url: str, login: str, deployment: str) -> Took:
    """Start a run of a deployment and wait for its end.

    The server is asked only four times a second; the times come from the states that it recorded.

    Raises:
        BenchError: the run did not complete in time, or a request was refused.
    """
    began = time.time()
    with Client(url, basic(login), limit_s=LIMIT_S) as client:
        run = client.post(f"/api/deployments/{deployment}/create_flow_run", {}).json()["id"]
        while (state := client.get(f"/api/flow_runs/{run}").json()["state_type"]) != "COMPLETED":
            if state in FAILED or time.time() - began > LIMIT_S:
                raise BenchError(f"The flow run is {state} after {time.time() - began:.0f} s.")
            time.sleep(LOOK_S)
        states = client.get(f"/api/flow_run_states/?flow_run_id={run}").json()
    return took(began, states)


def took(began: float, states: Iterable[Mapping[str, Any]]) -> Took:
    """Return how long a run took to its first RUNNING and to its COMPLETED.

    Args:
        began: when "run" was pressed, in seconds since 1970.
        states: the states of the run, as the server records them.

    Raises:
        BenchError: one of the two is missing.
    """
    at: dict[str, float] = {}
    for state in sorted(states, key=lambda each: str(each["timestamp"])):
        at.setdefault(str(state["type"]), datetime.fromisoformat(state["timestamp"]).timestamp())
    if not {"RUNNING", "COMPLETED"} <= at.keys():
        raise BenchError(f"The flow run had only the states {', '.join(at) or 'none'}.")
    return Took(at["RUNNING"] - began, at["COMPLETED"] - began)
