"""The waker that an environment deploys, in the form of an environment of its own.

It is planned, applied, proved and rolled back as a Prefect server is, by the same code: it is an app
with one machine. `file.waker` says that it is one.
"""

from __future__ import annotations

from roost.environment.fields import Machine
from roost.environment.files import EnvironmentFile, WakerUnit
from roost.environment.flow_units import SEPARATOR
from roost.environment.model import (
    Access,
    Drift,
    Environment,
    Prefect,
    Scaling,
    SqliteDatabase,
)
from roost.environment.waker import NAME, Waker

MACHINE = Machine(size="shared-cpu-1x", memory_mb=256)
"""The smallest that Fly has: it holds 100 times and sends some requests."""


def deploys_waker(file: EnvironmentFile) -> bool:
    """Return whether an environment is the one that deploys the waker of its section."""
    waker = file.environment.waker
    return waker is not None and waker.deployed_by in (None, file.name)


def waker_units(file: EnvironmentFile) -> tuple[EnvironmentFile, ...]:
    """Return the waker that an environment deploys, if it does."""
    waker = file.environment.waker
    if file.beside is not None or waker is None or not deploys_waker(file):
        return ()
    name = f"{file.name}{SEPARATOR}{NAME}"
    derived = waker_environment(file.environment, waker)
    return (EnvironmentFile(name, file.path, derived, WakerUnit(waker, file.environment)),)


def waker_environment(server: Environment, waker: Waker) -> Environment:
    """Return what the plan of the waker's app needs, in the fields of an environment.

    The database and the version of Prefect are not used: it has neither.
    """
    return Environment(
        app=waker.app,
        organization=server.organization,
        region=waker.region or server.region,
        protected=server.protected,
        prune=server.prune,
        prefect=Prefect(version=server.prefect.version),
        machine=MACHINE,
        scaling=Scaling(min_machines_running=1, autostop="off"),
        database=SqliteDatabase(backend="sqlite"),
        access=Access(public=False, auth="none"),
        drift=Drift(heal=server.drift.heal),
    )
