"""`roost doctor ENV --database`: connect to the environment's Postgres as its server will."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

from roost.apply.secret_values import Values
from roost.doctor.check import Check, State, missing, ok, unknown
from roost.doctor.database_facts import Outcome
from roost.doctor.database_findings import findings, reach_finding
from roost.doctor.database_probe import Clock, RefusedError, look, reach
from roost.doctor.database_refusals import Place, refused
from roost.environment.load import EnvironmentFile
from roost.environment.model import PostgresDatabase
from roost.operations.postgres_connection import (
    PostgresLogin,
    address_of,
    root_certificate,
    search_path_of,
)
from roost.plan.database_address import SYSTEM

_PEM = "-----BEGIN CERTIFICATE-----"


async def database_checks(
    file: EnvironmentFile, values: Values, clock: Clock
) -> AsyncIterator[Check]:
    """Check an environment's database from this computer, step by step; the first closed door ends it.

    Args:
        file: the environment.
        values: the values of its secrets, one of which is the address.
        clock: this computer's time.
    """
    name, database = file.name, file.environment.database
    if not isinstance(database, PostgresDatabase):
        yield ok(
            "the database is SQLite on the server's volume: there is no address to check", name
        )
        return
    secret = database.url_secret
    found = values.found.get(secret)
    address = address_of(file.environment, found) if found else None
    if address is None:
        unread = values.missing.get(secret)
        why = unread.why if unread else "it is not among the secrets of the file"
        mend = unread.advice if unread else f"list {secret} under secrets in {file.path}"
        yield missing(f"{secret} has no usable value here: {why}", mend, name)
        return
    place = Place(address.hosts[0], address, secret, name)
    for host in address.hosts:
        place = replace(place, host=host)
        reached = await reach(host)
        yield reach_finding(place, reached)
        if reached.outcome is Outcome.ANSWERS:
            break
    else:
        return
    pem = root_certificate(address, values)
    if fault := _certificate_fault(place, pem):
        yield fault
        if fault.state is State.MISSING:
            return
        place = replace(place, address=replace(address, mode="require", root=""))
    try:
        login = PostgresLogin(place.host, place.address, pem, search_path_of(file.environment))
        facts = await look(login, clock)
    except RefusedError as failure:
        yield refused(place, failure.refusal)
        return
    for check in findings(place, reached, facts, file.environment):
        yield check


def _certificate_fault(place: Place, pem: str) -> Check | None:
    root, name = place.address.root, place.environment
    if root in ("", SYSTEM) or pem.startswith(_PEM):
        return None
    if "/" in root:
        what = f"the root certificate {root} is on the server's machine, so the certificate is not verified here"
        return unknown(what, "put its text into a secret, and name that in sslrootcert", name)
    if pem:
        what, mend = f"the secret {root} holds no certificate", f"its value begins with {_PEM}"
    else:
        what, mend = f"the secret {root}, which sslrootcert names, has no value here", "set it"
    return missing(what, mend, name)
