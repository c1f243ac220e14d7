"""Faults of a database, by the errors of its driver, server and poolers."""

from __future__ import annotations

import socket
import ssl

import pytest

from roost.plan.trial import COMMAND, SECRET_PREFIX
from roost.plan.trial import SENTENCES as TOLD
from roost_server.postgres_connection import find_fault
from roost_server.postgres_faults import SENTENCES, DatabaseFaultError, Fault
from roost_server.postgres_trial import PREFIX


def said(text, code=None):
    """An error of the driver with a server's message."""
    error = type("Error", (Exception,), {"__module__": "asyncpg.exceptions", "sqlstate": code})
    return error(text)


def wrapped(error):
    """The same error as SQLAlchemy raises it."""
    outer = RuntimeError("postgresql://u:hunter2@h")
    outer.__cause__ = error
    return outer


@pytest.mark.parametrize("wrap", [lambda it: it, wrapped], ids=["as it is", "wrapped"])
@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (said('password authentication failed for user "u"', "28P01"), Fault.LOGIN),
        (said("password authentication failed", "08P01"), Fault.LOGIN),
        (said("no pg_hba.conf entry for host, no encryption", "28000"), Fault.NOT_ADMITTED),
        (said('database "x" does not exist', "3D000"), Fault.NO_DATABASE),
        (said('database "x" does not exist', "08P01"), Fault.NO_DATABASE),
        (said("Tenant or user not found", "XX000"), Fault.NO_TENANT),
        (said("Endpoint ID is not specified.", "08P01"), Fault.NO_ENDPOINT),
        (
            said("transaction blocks not allowed in statement pooling mode", "08P01"),
            Fault.STATEMENT_POOLER,
        ),
        (said("sorry, too many clients already", "53300"), Fault.FULL),
        (said("the database system is starting up", "57P03"), Fault.STARTING),
        (said("permission denied for schema public", "42501"), Fault.NO_RIGHT),
        (said("cannot execute CREATE TABLE in a read-only transaction", "25006"), Fault.READ_ONLY),
        (said('relation "x" does not exist', "42P01"), Fault.OTHER),
        (socket.gaierror(-2, "Name or service not known"), Fault.NO_HOST),
        (ConnectionRefusedError(111, "refused"), Fault.NO_ANSWER),
        (TimeoutError(), Fault.TIMEOUT),
        (ssl.SSLCertVerificationError(1, "self-signed"), Fault.CERTIFICATE),
        (ValueError("hunter2"), Fault.OTHER),
    ],
)
def test_a_fault_is_known_by_its_code_or_by_what_poolers_say(error, fault, wrap):
    found, more = find_fault(wrap(error))

    assert found is fault
    assert "hunter2" not in str(DatabaseFaultError(found, "DB_URL", more))


def test_roost_tells_a_trial_s_end_as_the_machine_does():
    assert {int(fault): SENTENCES[fault] for fault in Fault} == TOLD
    assert PREFIX == SECRET_PREFIX
    assert COMMAND[-1] == "try-database"
