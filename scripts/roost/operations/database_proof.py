"""What a server that answers reports of itself: its database, and its last error."""

from __future__ import annotations

import time

from roost.errors import SmokeFailedError
from roost.prefect.gate_pages import ask_report
from roost.prefect.probe import DATABASE, Server, run_check
from roost.prefect.transport import prefect_client
from roost.secret_text import SecretText

LIMIT_S = 20.0


async def prove_database(url: str, auth: SecretText | None, backend: str) -> None:
    """See that a server uses the database that its file names, as far as it shows.

    Args:
        url: where it answers.
        auth: its login; without one that it needs, nothing is shown.
        backend: what the file names, `sqlite` or `postgres`.

    Raises:
        SmokeFailedError: it uses another one.
    """
    async with prefect_client(url, LIMIT_S) as http:
        server = Server(http, auth, database=backend)
        result = await run_check(DATABASE, server, time.monotonic)
    if not result.ok:
        raise SmokeFailedError(
            f"{url} is up, and no good: {result.name}: {result.detail}.", advice=result.advice
        )


async def last_error_of(url: str, auth: SecretText | None) -> str:
    """Return what a server of our image logged as its last error; empty where it reports none."""
    async with prefect_client(url, LIMIT_S) as http:
        report = await ask_report(Server(http, auth))
    return report.last_error if report else ""
