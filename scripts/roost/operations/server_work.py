"""Ask an awake server who is connected to it, and what its flow servers have to do."""

from __future__ import annotations

from roost.environment.load import EnvironmentFile
from roost.errors import PrivateNetworkError
from roost.operations.context import Context
from roost.operations.fly_target import Target
from roost.operations.server_proof import environment_subject
from roost.plan.server_work import ServerWork, read_work
from roost.prefect.gate_pages import ask_whole_report
from roost.prefect.server import Server

ASK_LIMIT_S = 10.0


async def ask_work(context: Context, target: Target, file: EnvironmentFile) -> ServerWork:
    """Return the work of a server that is awake; nothing is known where it cannot be asked.

    That is so without its login here, from outside of a private network, and for a stock image or an
    older one of Roost's. A request would wake a server that sleeps: ask only one that is awake.
    """
    if file.environment.prefect.image:
        return ServerWork()
    try:
        await target.check_reach(file)
    except PrivateNetworkError:
        return ServerWork()
    url = await target.app_url(file.environment.app, public=file.environment.access.public)
    if not url:
        return ServerWork()
    subject = environment_subject(context, file, target, url)
    async with context.clients.prefect(url, ASK_LIMIT_S) as http:
        return read_work(await ask_whole_report(Server(http, subject.auth)))
