"""The section `flows`: each entry is a flow server, an app that runs flows for the Prefect server."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from roost.environment.fields import Duration, Machine, Secret, SettingText
from roost.environment.strict import Model

CLIENT_LOGIN = "PREFECT_API_AUTH_STRING"
"""The secret with the Prefect server's login on a flow server's app, as Prefect's client reads it."""
FLOW_NAME = r"^[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?$"
# Plain relative paths, so that no folder has two names; a rule refuses `..`.
FOLDER = r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}(/[A-Za-z0-9_][A-Za-z0-9._-]{0,99}){0,9}$"


class FlowServer(Model):
    """An app that runs flows from a folder of this repository: one machine, its own image and secrets."""

    name: Annotated[str, Field(pattern=FLOW_NAME, examples=["nightly"])]
    """Its app is APP-NAME, and commands call it ENVIRONMENT.NAME."""
    path: Annotated[str, Field(pattern=FOLDER, examples=["flows/nightly"])]
    """Folder of this repository with the code and requirements.txt (`./run lock --flows NAME`)."""
    command: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=1000)], ...],
        Field(strict=False, min_length=1, max_length=50, examples=[["python", "serve_flows.py"]]),
    ]
    """What serves the flows, run in that folder: a script with serve(), or `prefect worker start`."""
    machine: Machine = Machine()
    run: Literal["on_demand", "always"] = "on_demand"
    """on_demand: starts when a run is due, and sleeps afterwards. always: never sleeps."""
    autostop: Literal["stop", "suspend"] = "suspend"
    """What sleep is: suspend wakes in a second, stop in several; suspend needs at most 2048 MB."""
    idle_after: Duration = timedelta(minutes=2)
    """Sleep after this much idle time, if no run is due within as much again."""
    stop_limit: Duration = timedelta(minutes=2)
    """How long running flows may go on at a stop or an update, before Prefect cancels them; at most 4m."""
    missed: Literal["run_latest", "run_all", "skip"] = "run_latest"
    """Which of the scheduled runs that were missed asleep are run at the wake."""
    environment: dict[str, SettingText] = {}  # noqa: RUF012 - pydantic copies it for each value
    """Variables of the flows, such as TZ; secrets belong under `secrets`."""
    secrets: Annotated[tuple[Secret, ...], Field(strict=False, max_length=100)] = ()
    """Secrets of its own app; the login of the Prefect server is added to them."""
