"""Why a database cannot be used: the exit code of a trial, and a sentence without secrets.

Fly has no API for logs, so the client of a trial reads its exit code from Fly
(scripts/roost/plan/trial.py has the same sentences).
"""

from __future__ import annotations

from enum import IntEnum

from roost_server.errors import BootError


class Fault(IntEnum):
    """A fault of a database, as the exit code of a trial."""

    ADDRESS = 20
    LOGIN = 21
    NOT_ADMITTED = 22
    NO_DATABASE = 23
    NO_HOST = 24
    NO_ANSWER = 25
    TIMEOUT = 26
    CERTIFICATE = 27
    TLS_WANTED = 28
    NO_TLS = 29
    STATEMENT_POOLER = 30
    FULL = 31
    STARTING = 32
    NO_RIGHT = 33
    READ_ONLY = 34
    OLD_SERVER = 35
    NO_EXTENSION = 36
    NEWER_SCHEMA = 37
    NO_TENANT = 38
    NO_ENDPOINT = 39
    OTHER = 40
    NO_VALUE = 41


_TLS = "the value may ask for it with ?sslmode=require"
SENTENCES = {
    Fault.ADDRESS: "the server cannot use an address of this form; its log says why",
    Fault.LOGIN: "the database refuses the user or the password",
    Fault.NOT_ADMITTED: f"the database refuses the user, from here or without TLS; {_TLS}",
    Fault.NO_DATABASE: (
        "the server has no database of the name that stands after the host; create it, or correct it"
    ),
    Fault.NO_HOST: "the host is not found; correct it, or wait for its name to be known",
    Fault.NO_ANSWER: (
        "nothing answers at the host and the port; correct them, or start the database"
    ),
    Fault.TIMEOUT: "the database did not answer in time; is it reachable from Fly?",
    Fault.CERTIFICATE: (
        "the database's certificate is not signed by the authority that sslrootcert names, or is for "
        "another host; give the provider's certificate as a secret, and name it there"
    ),
    Fault.TLS_WANTED: f"the database wants TLS; {_TLS}",
    Fault.NO_TLS: "the database does no TLS; remove sslmode, or have it do TLS",
    Fault.STATEMENT_POOLER: (
        "the pooler is in statement mode, which knows no transactions, and Prefect needs them; use it "
        "in session mode, or the direct address"
    ),
    Fault.FULL: (
        "the database has no connection free; end others, or use a pooler in session mode"
    ),
    Fault.STARTING: "the database is starting up or shutting down; try again when it has",
    Fault.NO_RIGHT: (
        "the user may not create tables in this database, which Prefect does at each upgrade; grant it "
        "(GRANT CREATE ON SCHEMA public TO ...), or use the owner"
    ),
    Fault.READ_ONLY: "the database takes no writes here; use the address of the primary",
    Fault.OLD_SERVER: "the database is older than PostgreSQL 13, which Prefect needs at least",
    Fault.NO_EXTENSION: (
        "the user may not create the extension pg_trgm, which Prefect needs; have an administrator "
        "run CREATE EXTENSION pg_trgm in this database"
    ),
    Fault.NEWER_SCHEMA: (
        "a newer Prefect has migrated this database, and this version cannot read it; use that "
        "version, or another database"
    ),
    Fault.NO_TENANT: (
        "Supabase's pooler knows no such user; there it is postgres.REF, with the project's reference"
    ),
    Fault.NO_ENDPOINT: (
        "Neon does not know which endpoint is meant; use the host that begins with its name (ep-...)"
    ),
    Fault.OTHER: "the database cannot be used; the log says more",
    Fault.NO_VALUE: (
        "its value was gone when the machine started, as somebody else applied at the same time; let "
        "them end"
    ),
}


class DatabaseFaultError(BootError):
    """The database that the settings name cannot be used."""

    def __init__(self, fault: Fault, name: str, more: str = "") -> None:
        super().__init__(f"{name}: {SENTENCES[fault]}{more}")
        self.fault = fault
