"""Have a Prefect server forget a flow server that was removed: it would try to wake it for ever."""

from __future__ import annotations

from http import HTTPStatus

import httpx

from roost.environment.files import EnvironmentFile, FlowUnit
from roost.environment.flow_units import split_name
from roost.errors import FlyError, PrivateNetworkError
from roost.errors.command import Command
from roost.operations.context import Context
from roost.operations.fly_target import Target
from roost.operations.server_proof import environment_subject
from roost.prefect.flow_server_checks import PATH
from roost.prefect.gate_pages import GATE_HEADERS
from roost.prefect.server import Server
from roost.report.wording import one_line

LIMIT_S = 90.0
"""How long a sleeping server may take to wake and answer, in seconds."""
GONE = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_FOUND)


async def forget(context: Context, target: Target, file: EnvironmentFile, flow: FlowUnit) -> bool:
    """Ask the Prefect server to forget a removed flow server; return whether it has no record of it.

    The request wakes a server that sleeps. A server that cannot be asked adds a note with the next
    step, and is no error: the flow server itself is gone.
    """
    why = await _try(context, target, file, flow)
    if why:
        context.progress.print(
            f"The Prefect server could not be informed: {one_line(why)}. Until it is, it wakes and tries to "
            f"wake {file.name} whenever a run of it is due. Run the same command again: "
            f"{Command('destroy', file.name, '--confirm', file.environment.app)}",
            markup=False,
            soft_wrap=True,
        )
    return not why


async def _try(context: Context, target: Target, file: EnvironmentFile, flow: FlowUnit) -> str:
    """Return why the record may still be there; empty if it is gone."""
    server = EnvironmentFile(split_name(file.name)[0], file.path, flow.server)
    app = flow.server.app
    try:
        if await target.fly.get_app(app) is None or not await target.fly.list_machines(app):
            return ""  # no server, so no record; a snapshot that is restored later may have one
        await target.check_reach(server)
        url = await target.app_url(app, public=flow.server.access.public)
        auth = environment_subject(context, server, target, url).auth
        async with context.clients.prefect(url, LIMIT_S, headers=GATE_HEADERS) as http:
            login = Server(http, auth).login()
            answer = await http.delete(f"{PATH}/{flow.entry.name}", headers=login)
    except (FlyError, PrivateNetworkError) as error:
        return error.what.removesuffix(".")
    except httpx.HTTPError as error:
        return f"it does not answer ({type(error).__name__})"
    if answer.status_code in GONE:
        return ""
    if answer.status_code == HTTPStatus.UNAUTHORIZED:
        return "it refuses the login, or the login is not here"
    return f"it answered with status {answer.status_code}"
