"""Why a move between SQLite and PostgreSQL failed, in words without secrets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from roost_server.errors import BootError
from roost_server.postgres_connection import find_fault
from roost_server.postgres_faults import SENTENCES, Fault
from roost_server.settings import URL_VARIABLE

NOTHING = "nothing was written"
_BY_CODE = {
    "53100": "the disk of the database is full; make it larger",
    "55P03": "another session holds a table of the database; end what uses it",
    "42501": "the user may not change a table of the database; use its owner",
    "57P01": "the database was shut down meanwhile",
    "57P02": "the database crashed meanwhile",
    "57P03": "the database is starting up or shutting down",
}


class MoveError(BootError):
    """The database cannot be moved; the message says why, and no value is in it."""


@contextmanager
def explain(environ: Mapping[str, str]) -> Iterator[None]:
    """Convert the error of a database into one without secrets.

    Raises:
        MoveError: names the cause. It is not chained, as the error may hold the address or a row.
    """
    try:
        yield
    except MoveError as error:
        raise MoveError(f"{error}; {NOTHING}") from None
    except BootError:
        raise
    except Exception as error:  # noqa: BLE001 - the text of any error may hold the address
        raise MoveError(f"{_sentence(error, environ)}; {NOTHING}") from None


def _sentence(error: Exception, environ: Mapping[str, str]) -> str:
    code = str(getattr(error, "sqlstate", None) or getattr(error.__cause__, "sqlstate", None) or "")
    if code in _BY_CODE:
        return _BY_CODE[code]
    if code.startswith("23"):  # a constraint; the detail holds a value of the row
        table, name = getattr(error, "table_name", ""), getattr(error, "constraint_name", "")
        return f"the table {table} breaks the constraint {name} of PostgreSQL"
    name, (fault, more) = environ.get(URL_VARIABLE, ""), find_fault(error)
    if fault in (Fault.NO_ANSWER, Fault.OTHER) and not code:
        return f"the connection to the database was lost{more}"
    return f"{name}: {SENTENCES[fault]}{more}"
