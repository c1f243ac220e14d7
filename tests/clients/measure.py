"""Run a flow with real clients of several releases on real servers, and count what arrives."""

from __future__ import annotations

import json
import os
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from helpers.prefect_process import LOGIN, PrefectProcess
from helpers.waiting import LIMIT_S

CLIENTS = ("3.1.10", "3.4.24", "3.6.13", "3.6.21", "3.7.8", "3.8.8", "3.9.1")
TASKS = 3
# Prefect declares wider version ranges than it works with; see deploy/locks/constraints-*.in.
PINS = ("sqlalchemy>=2.0,<2.1", "fastapi<0.116")
PINS_SINCE_3_7 = ("sqlalchemy>=2.0,<2.1",)
SETTLE_S = 30.0
"""Longer than a client or the server keeps an event before it passes it on (5 s)."""
FLOW = f"""
import sys
from prefect import flow, task
from prefect.events import emit_event

@task
def step(n):
    return n

@flow(flow_run_name=sys.argv[1])
def steps():
    for n in range({TASKS}):
        step(n)
    emit_event(sys.argv[1], resource={{"prefect.resource.id": sys.argv[1]}})

steps()
"""


@dataclass(frozen=True)
class Kept:
    """What one server has of one client's flow run.

    Args:
        client: the client's version.
        server: the server's version.
        state: the flow run's state, such as `COMPLETED`; empty without one.
        task_runs: how many of its task runs exist.
        events: how many of its one event exist.
        said: the last line of a failed client's output.
    """

    client: str
    server: str
    state: str
    task_runs: int
    events: int
    said: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether everything arrived."""
        return (self.state, self.task_runs, self.events) == ("COMPLETED", TASKS, 1)


def make_client(folder: Path, version: str, uv: str) -> Path:
    """Install one release into its own environment; return its Python."""
    python = folder / version / "bin" / "python"
    if not python.exists():
        subprocess.run([uv, "venv", "--quiet", "--no-project", folder / version], check=True)
    old = tuple(map(int, version.split("."))) < (3, 7)
    wanted = [f"prefect=={version}", *(PINS if old else PINS_SINCE_3_7)]
    install = [uv, "pip", "install", "--quiet", "--no-build", "--python", str(python)]
    subprocess.run([*install, *wanted], check=True)
    return python


def measure(server: PrefectProcess, version: str, clients: dict[str, Path]) -> Iterator[Kept]:
    """Run one flow with each client on a running server."""
    for client, python in clients.items():
        name = f"roost-{uuid.uuid4().hex}"
        done = subprocess.run(
            [python, "-c", FLOW, name],
            env={
                "PATH": os.defpath,
                "PREFECT_HOME": str(server.home.parent / f"client-{client}"),
                "PREFECT_API_URL": f"{server.url}/api",
                "PREFECT_API_AUTH_STRING": LOGIN,
                "DO_NOT_TRACK": "1",
            },
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        said = done.stderr.strip().splitlines()[-1:] if done.returncode else []
        with server.http() as http:
            yield _look(http, client, version, name, "".join(said))


def _look(http: httpx.Client, client: str, version: str, name: str, said: str) -> Kept:
    ends = time.monotonic() + SETTLE_S
    while True:
        runs = _ask(http, "flow_runs/filter", {"flow_runs": {"name": {"any_": [name]}}})
        ids = [run["id"] for run in runs]
        tasks = _ask(http, "task_runs/count", {"flow_runs": {"id": {"any_": ids}}}) if ids else 0
        chosen = {"filter": {"event": {"name": [name]}}, "limit": 10}
        events = len(_ask(http, "events/filter", chosen)["events"])
        state = runs[0]["state_type"] if runs else ""
        kept = Kept(client, version, state, tasks, events, said)
        if kept.is_whole or time.monotonic() > ends:
            return kept
        time.sleep(0.5)


def _ask(http: httpx.Client, path: str, body: dict[str, Any]) -> Any:
    answer = http.post(f"/{path}", content=json.dumps(body))
    answer.raise_for_status()
    return answer.json()
