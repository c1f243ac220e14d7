"""Prefect's own server application in one process, with our layers around it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Mapping

from roost_server.middleware import close_costly_pages, write_in_turn
from roost_server.quiet import Activity, watch

# Longer than a proxy keeps a connection, so that it is never closed under a request.
KEEP_ALIVE_S = 75


def serve(environ: Mapping[str, str]) -> int:
    """Run until a signal ends it; give the exit code."""
    return asyncio.run(_serve(environ))


async def _serve(environ: Mapping[str, str]) -> int:
    import uvicorn
    from prefect.server.api.server import create_app

    activity = Activity()
    app = close_costly_pages(create_app())
    if "ROOST_DATABASE_URL_VARIABLE" not in environ:
        app = write_in_turn(app)
    config = uvicorn.Config(
        activity.layer(app),
        host=environ.get("PREFECT_SERVER_API_HOST", "127.0.0.1"),
        port=int(environ.get("PREFECT_SERVER_API_PORT", "4200")),
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=3,
        log_level="warning",
    )
    gc.freeze()
    gc.enable()
    server = uvicorn.Server(config)
    watching = asyncio.create_task(watch(activity, environ))
    await server.serve()
    watching.cancel()
    return 0 if server.started else 1
