"""`roost doctor --client`: why this computer's own Prefect does not reach a server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus

from roost.doctor.check import Check, unknown
from roost.doctor.client_facts import Server
from roost.doctor.client_findings import (
    login_findings,
    reach_findings,
    settings_findings,
    url_fault,
)
from roost.doctor.client_probe import reach
from roost.doctor.client_settings import open_client
from roost.environment.load import EnvironmentFile
from roost.errors import RoostError
from roost.operations.context import Context
from roost.operations.fly_target import connect
from roost.operations.server_address import app_url, server_url
from roost.operations.server_state import our_machines_in
from roost.plan.live import read_live


async def client_checks(
    context: Context, file: EnvironmentFile | None, url: str, *, local: bool, wake: bool
) -> AsyncIterator[Check]:
    """Check this computer's Prefect, from its settings to a call with its login.

    Requests are sent as that Prefect sends them, and wake a server that sleeps. Where Fly says that the
    environment's server sleeps, none is sent unless it may be woken.

    Args:
        context: the variables of this shell, which Prefect reads as well.
        file: the environment whose server it should talk to; None for `url`, or for any server.
        url: the PREFECT_API_URL that it should have; empty for that of the environment, or for any.
        local: whether the server is on the local Fly.
        wake: whether requests may wake it.

    Raises:
        UsageError: with `local`, the local Fly does not run, or has no such app.
        RoostError: with `local`, the local Fly cannot be asked.
    """
    server = await _server(context, file, url, local=local)
    async with open_client(context) as client:
        settings = client.settings
        for check in settings_findings(settings, server):
            yield check
        if url_fault(settings, server) is not None:
            return
        if server.sleeps and not wake:
            yield unknown(
                f"the server is {server.state}, and a request would wake it: no further step was tried",
                "add --wake",
            )
            return
        reached = await reach(settings, partial(datetime.now, UTC))
        for check in reach_findings(settings, server, reached):
            yield check
        if reached.is_prefect and reached.ready == HTTPStatus.OK:
            for check in login_findings(settings, server, await client.log_in()):
                yield check


async def _server(
    context: Context, file: EnvironmentFile | None, url: str, *, local: bool
) -> Server:
    """Return the server that is meant, with the state of its machines where Fly can be asked."""
    if file is None:
        return Server(url.rstrip("/"))
    environment = file.environment
    known = local or context.environ.get("FLY_API_TOKEN")
    if not known:
        base = await app_url(None, environment.app, public=environment.access.public)
        return Server(f"{base}/api", file.name)
    if local:
        await server_url(context, file, local=True)
    try:
        async with connect(context, local=local) as target:
            base = await target.app_url(environment.app, public=environment.access.public)
            machines = our_machines_in(file, await read_live(target.fly, environment.app))
    except RoostError:
        if local:
            raise  # there is no other address to try
        base = await app_url(None, environment.app, public=environment.access.public)
        return Server(f"{base}/api", file.name)
    states = {machine.state for machine in machines}
    return Server(f"{base}/api", file.name, ", ".join(sorted(states)))
