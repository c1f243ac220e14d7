"""What a running server reports of itself: its database, and its last error."""

from __future__ import annotations

import time

from roost.errors import SmokeFailedError
from roost.prefect.gate_pages import ask_report
from roost.prefect.probe import DATABASE, Server, run_check
from roost.prefect.transport import prefect_client
from roost.secret_text import SecretText

LIMIT_S = 20.0


async def prove_database(url: str, auth: SecretText | None, backend: str) -> None:
    """Check that a server uses the database that its file names.

    Args:
        url: address of the server.
        auth: its login; without it, the check passes unseen if the server asks for one.
        backend: the file's database, `sqlite` or `postgres`.

    Raises:
        SmokeFailedError: it uses another database.
    """
    async with prefect_client(url, LIMIT_S) as http:
        server = Server(http, auth, database=backend)
        result = await run_check(DATABASE, server, time.monotonic)
    if not result.ok:
        raise SmokeFailedError(
            f"{url} is up, but a check failed: {result.name}: {result.detail}.",
            advice=result.advice,
        )


async def last_error_of(url: str, auth: SecretText | None) -> str:
    """Return the last error that a server of Roost's image logged; empty if it reports none."""
    async with prefect_client(url, LIMIT_S) as http:
        report = await ask_report(Server(http, auth))
    return report.last_error if report else ""
