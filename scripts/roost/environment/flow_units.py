"""The flow servers of an environment, each in the form of an environment of its own.

A flow server is planned, applied, proved and rolled back as a Prefect server is, by the same code: it
is an app with machines and secrets. `file.flow` says that it is one.
"""

from __future__ import annotations

from roost.environment.fields import Secret
from roost.environment.files import EnvironmentFile, FlowUnit
from roost.environment.flow_server import CLIENT_LOGIN, FlowServer
from roost.environment.model import (
    AUTH_SECRET,
    Access,
    Drift,
    Environment,
    Prefect,
    Scaling,
    SqliteDatabase,
)

LONGEST_APP = 63
"""Characters of an app's name."""
SEPARATOR = "."
"""Between the names of an environment and a flow server; no environment has it in its name."""


class LoginSecret(Secret):
    """The server's login as a secret of the flow server; its source has it under the server's name."""

    @property
    def key(self) -> str:
        """The name of the value in its source."""
        return AUTH_SECRET


def split_name(name: str) -> tuple[str, str]:
    """Return the environment's name and the flow server's; the second is empty for a server."""
    environment, _, flow = name.partition(SEPARATOR)
    return environment, flow


def is_flow_server(name: str) -> bool:
    """Return whether a name is that of a flow server, `ENVIRONMENT.NAME`."""
    return SEPARATOR in name


def flow_app(app: str, name: str) -> str:
    """Return the name of a flow server's app."""
    return f"{app}-{name}"


def flow_units(file: EnvironmentFile) -> tuple[EnvironmentFile, ...]:
    """Return the flow servers of an environment, in the order of the file."""
    if file.beside is not None:
        return ()
    return tuple(flow_unit(file, entry) for entry in file.environment.flows)


def flow_unit(file: EnvironmentFile, entry: FlowServer) -> EnvironmentFile:
    """Return one flow server in the form of an environment."""
    name = f"{file.name}{SEPARATOR}{entry.name}"
    derived = flow_environment(file.environment, entry)
    return EnvironmentFile(name, file.path, derived, FlowUnit(entry, file.environment))


def flow_environment(server: Environment, entry: FlowServer) -> Environment:
    """Return what the plan of a flow server's app needs, in the fields of an environment.

    The database is not used: `desired_state` gives a flow server no volume.
    """
    return Environment(
        app=flow_app(server.app, entry.name),
        organization=server.organization,
        region=server.region,
        protected=server.protected,
        prune=server.prune,
        prefect=Prefect(version=server.prefect.version),
        machine=entry.machine,
        scaling=Scaling(
            min_machines_running=1 if entry.run == "always" else 0,
            autostop="off" if entry.run == "always" else entry.autostop,
            idle_after=entry.idle_after,
        ),
        database=SqliteDatabase(backend="sqlite"),
        access=Access(public=False, auth="none"),
        drift=Drift(heal=server.drift.heal),
        secrets=(*_login(server), *entry.secrets),
    )


def login_name(file: EnvironmentFile) -> str:
    """Return the name of the secret with the server's login; empty if the server has none."""
    if file.waker or file.redis or file.server.access.auth != "basic":
        return ""
    return CLIENT_LOGIN if file.flow else AUTH_SECRET


def _login(server: Environment) -> tuple[Secret, ...]:
    if server.access.auth != "basic":
        return ()
    sources = (secret.source for secret in server.secrets if secret.name == AUTH_SECRET)
    # `from` is the field's name in the file, and a keyword here.
    return tuple(
        LoginSecret.model_validate({"name": CLIENT_LOGIN, "from": source}) for source in sources
    )
