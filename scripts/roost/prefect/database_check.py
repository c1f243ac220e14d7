"""The check that the server is on the database that its file names.

A server on another one is backed up, restored and put to sleep as if it were on that of the file:
each of them then reports success over an empty volume.
"""

from __future__ import annotations

from roost.prefect.server import CheckFailedError, Server
from roost.prefect.server_report import ask_report, ask_setting

SQLITE, POSTGRES = "sqlite", "postgres"
WANTED = {SQLITE: "sqlite on the volume", POSTGRES: "postgres"}
"""What the server's report calls what the file names."""
_ADVICE = {
    SQLITE: (
        "A setting or a secret names another database, which no backup holds. Remove it; or set "
        "database.backend: postgres, and database.url_secret to the secret with its address."
    ),
    POSTGRES: (
        "The server does not use the address in the secret that database.url_secret names. Remove "
        "every other setting and secret that names a database."
    ),
}


async def check_database(server: Server) -> str:
    """The database is the one that the file names, as far as the server shows."""
    report = await ask_report(server)
    found = report.database if report else await _shown_by_prefect(server)
    wanted = WANTED.get(server.database, "")
    if not found:
        return "not proved: only Roost's own image reports its database"
    if wanted and found != wanted and not (report is None and wanted.startswith(found)):
        raise CheckFailedError(
            f"the server uses {found}, and its file names {wanted}", _ADVICE[server.database]
        )
    return found if report else f"{found}, by its driver alone"


async def _shown_by_prefect(server: Server) -> str:
    """Return what Prefect itself shows: the driver, where it is set; the address never is."""
    driver = await ask_setting(server, "server", "database", "driver")
    name = str(driver or "").partition("+")[0]
    return {"postgresql": POSTGRES, "sqlite": SQLITE}.get(name, "")
