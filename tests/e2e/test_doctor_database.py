"""`roost doctor ENV --database` against a real PostgreSQL and real poolers: each fault is made, and found.

One server holds all databases and users of these cases; what only a cloud says is said by a socket.
"""

from __future__ import annotations

import socket
import struct
import subprocess
import threading
import time
from contextlib import ExitStack, contextmanager

import pytest

from helpers.environments import POSTGRES, environment_file
from helpers.pgbouncer import PROGRAM, pgbouncer
from helpers.postgres import find_programs, make_certificate, postgres_server
from image.machine import free_port
from roost.apply.secret_values import Values
from roost.doctor.check import State
from roost.doctor.database import database_checks
from roost.secret_text import SecretText

PROGRAMS = find_programs()
PASSWORD = "hunter2"
USERS = ("plain", "limited", "last", "encrypted", "stranger", "pathless")
SETUP = """
CREATE DATABASE bare;
CREATE DATABASE sealed;
ALTER DATABASE sealed SET default_transaction_read_only = on;
CREATE DATABASE ours;
CREATE DATABASE strange;
CREATE DATABASE hidden;
ALTER ROLE limited CONNECTION LIMIT 4;
ALTER ROLE last CONNECTION LIMIT 1;
ALTER ROLE pathless SET search_path = nowhere;
GRANT limited, last TO postgres;
\\connect bare
GRANT CREATE ON SCHEMA public TO encrypted;
\\connect ours
GRANT CREATE ON SCHEMA public TO plain;
CREATE TABLE alembic_version (version_num text);
CREATE TABLE flow_run (id integer);
\\connect strange
CREATE TABLE alembic_version (version_num text);
\\connect hidden
CREATE SCHEMA apart;
CREATE EXTENSION pg_trgm SCHEMA apart;
"""
# Who may log in from where; written by the server itself, as only it may enter its folder.
ADMITS = """
COPY (SELECT unnest(ARRAY[
    'local all all scram-sha-256',
    'host all postgres,plain,limited,last,pathless 127.0.0.1/32 scram-sha-256',
    'hostssl all encrypted 127.0.0.1/32 scram-sha-256'])) TO '{}';
SELECT pg_reload_conf();
"""

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(
        PROGRAMS is None or PROGRAM is None,
        reason="no PostgreSQL or no PgBouncer here: apt-get install postgresql pgbouncer",
    ),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server with TLS and every user and database of the cases; gives it with its certificate."""
    folder = tmp_path_factory.mktemp("certificate")
    certificate = make_certificate(folder)
    assert PROGRAMS is not None
    with postgres_server(PROGRAMS, folder) as started:
        roles = "".join(f"CREATE ROLE {user} LOGIN PASSWORD '{PASSWORD}';\n" for user in USERS)
        psql(started, roles + SETUP)
        psql(started, ADMITS.format(psql(started, "SHOW hba_file").strip()))
        yield started, certificate


def psql(server, script):
    """Run statements as the administrator; gives what they print."""
    assert PROGRAMS is not None
    done = subprocess.run(
        [str(PROGRAMS / "psql"), "-qAtX", "-v", "ON_ERROR_STOP=1", server.url],
        input=script,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@contextmanager
def speaker(says, tls=b"N"):
    """Listen on a port and answer each connection like a server that refuses the login; gives the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client:
                    request = client.recv(1024)
                    if request[4:8] == b"\x04\xd2\x16\x2f":
                        client.sendall(tls)
                        request = client.recv(1024)
                    if request:
                        client.sendall(says)

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def refusal(words, code="XX000"):
    """Return PostgreSQL's message of an error."""
    fields = f"SFATAL\0VFATAL\0C{code}\0M{words}\0\0".encode()
    return b"E" + struct.pack("!I", len(fields) + 4) + fields


async def found(url, *parts, clock=time.time, **secrets):
    """Return the checks of an environment with this address."""
    names = [*POSTGRES["secrets"], *secrets]
    file = environment_file(POSTGRES, *parts, secrets=names)
    values = {name: SecretText(value) for name, value in {"DATABASE_URL": url, **secrets}.items()}
    return [check async for check in database_checks(file, Values(values), clock)]


def wrong(checks):
    """Return what is not well, in one text."""
    return "\n".join(
        f"{c.state.value}: {c.what} -> {c.mend}" for c in checks if c.state is not State.OK
    )


def lacks(cases, texts):
    """Return the cases whose text lacks one of the expected pieces, with that text."""
    return {
        name: texts[name]
        for name, wanted in cases.items()
        if any(w not in texts[name] for w in wanted)
    }


def address(server, user, database="postgres", options=""):
    """Return the address of a database for a user."""
    base = server.url.removesuffix("postgres").replace(
        f"postgres:{server.password}", f"{user}:{PASSWORD}"
    )
    return f"{base}{database}{options}"


async def test_a_database_that_works_has_nothing_wrong(server):
    server, certificate = server
    checks = await found(
        f"{server.url}?sslmode=verify-full&sslrootcert=DATABASE_CA", DATABASE_CA=certificate
    )

    assert wrong(checks) == ""
    text = "\n".join(check.what for check in checks)
    for piece in (
        "with TLS",
        "PostgreSQL 15" if "15" in str(PROGRAMS) else "PostgreSQL ",
        "encrypted (sslmode verify-full)",
        "may create tables in the schema public; no table of Prefect's is there yet",
        "the extension pg_trgm may be created",
        "a session of its own",
        "takes 97 connections; one server opens up to 5 + 10 + 1, 16 in all",
        "from this computer",
        "its clock is within 5 s",
    ):
        assert piece in text
    assert psql(server, "SELECT count(*) FROM pg_tables WHERE tablename LIKE 'roost%'") == "0\n"


async def test_each_fault_of_a_database_is_found_with_its_evidence_and_the_next_step(server):
    server, certificate = server
    closed = free_port()
    plain = address(server, "plain")
    cases = {
        "name": (
            "postgresql://u:hunter2@db.invalid/x",
            "the name db.invalid is not found",
            "copy the host",
        ),
        "private": (
            "postgresql://u:hunter2@db.internal/x",
            "unknown: db.internal:5432 is in Fly's private network",
            "fly wireguard create",
        ),
        "port": (
            f"postgresql://u:hunter2@127.0.0.1:{closed}/x",
            f"refuses connections on port {closed}",
            "listen_addresses",
        ),
        "password": (
            plain.replace(PASSWORD, "hunter22"),
            'words: password authentication failed for user "plain" (28P01)',
            "copy the password again",
        ),
        "database": (
            address(server, "plain", "nothing"),
            "the server has no such database",
            'CREATE DATABASE "nothing" OWNER "plain"',
        ),
        "stranger": (address(server, "stranger"), "no pg_hba.conf entry", "add ?sslmode=require"),
        "unencrypted": (
            address(server, "encrypted", options="?sslmode=disable"),
            "no encryption",
            "add ?sslmode=require",
        ),
        "authority": (
            f"{plain}?sslmode=verify-full",
            "does not accept: self-signed certificate",
            "sslrootcert=DATABASE_CA",
        ),
        "other name": (
            plain.replace("127.0.0.1", "localhost")
            + "?sslmode=verify-full&sslrootcert=DATABASE_CA",
            "does not accept: Hostname mismatch",
            "the host name that the certificate is for",
        ),
        "no certificate": (
            f"{plain}?sslrootcert=DATABASE_TEXT",
            "DATABASE_TEXT holds no certificate",
            "-----BEGIN CERTIFICATE-----",
        ),
        "no right": (
            address(server, "plain", "bare"),
            "may not create tables in the schema public: permission denied",
            'GRANT CREATE, USAGE ON SCHEMA "public" TO "plain"',
        ),
        "no extension": (
            address(server, "encrypted", "bare"),
            "pg_trgm is not there, and encrypted may not create it",
            "in bare: CREATE EXTENSION pg_trgm",
        ),
        "hidden extension": (
            f"{server.url.removesuffix('postgres')}hidden",
            "pg_trgm is in the schema apart",
            'SET SCHEMA "public"',
        ),
        "no schema": (
            address(server, "pathless"),
            "names no schema that is there",
            "SET search_path = public",
        ),
        "owner": (
            address(server, "plain", "ours"),
            "tables belong to postgres",
            'GRANT "postgres" TO "plain"',
        ),
        "other program": (
            f"{server.url.removesuffix('postgres')}strange",
            "another program keeps its migrations",
            "CREATE DATABASE prefect",
        ),
        "read only": (
            f"{server.url.removesuffix('postgres')}sealed",
            "takes no writes: default_transaction_read_only",
            "address of the primary",
        ),
        "connections": (
            address(server, "limited"),
            "takes 4 connections",
            '_POOL_SIZE: "2", PREFECT_SERVER_DATABASE_SQLALCHEMY_MAX_OVERFLOW: "1"',
        ),
        "last connection": (
            address(server, "last"),
            "gave one connection and no second one",
            "end idle sessions",
        ),
    }
    secrets = {"DATABASE_CA": certificate, "DATABASE_TEXT": "text"}
    texts = {name: wrong(await found(url, **secrets)) for name, (url, *_) in cases.items()}
    texts["clock"] = wrong(await found(server.url, clock=lambda: time.time() - 60))
    wanted = {name: pieces for name, (_, *pieces) in cases.items()}

    assert lacks({**wanted, "clock": ("clock is 60 s ahead of", "follow NTP")}, texts) == {}
    assert "hunter2" not in str(texts)
    assert server.password not in str(texts)


async def test_what_is_in_front_of_a_database_is_found_by_its_behaviour(server, monkeypatch):
    monkeypatch.setattr("roost.doctor.database_probe.SECOND_S", 1)
    server, _ = server
    modes = {
        "session": ("session", {}),
        "transaction": ("transaction", {}),
        "in turn": ("transaction", {"server_round_robin": "1", "min_pool_size": "3"}),
        "statement": ("statement", {}),
        "one client": ("session", {"max_client_conn": "1"}),
        "one session": ("session", {"default_pool_size": "1"}),
    }
    with ExitStack() as stack:
        urls = {
            name: stack.enter_context(pgbouncer(server, mode, **options)).url
            for name, (mode, options) in modes.items()
        }
        urls["no TLS"] = f"{urls['session']}?sslmode=require"
        urls["password"] = urls["session"].replace(server.password, PASSWORD)
        urls["database"] = urls["session"] + "-nothing"
        texts = {name: wrong(await found(url)) for name, url in urls.items()}

    transaction = ("pooler in transaction mode: two connections share", "pool_mode to session")
    cases = {
        "transaction": transaction,
        "in turn": transaction,
        "statement": ("the pooler is in statement mode", "pool_mode to session"),
        "one client": ("gave one connection and no second one", "the pooler"),
        "one session": ("gave one connection and no second one", "the pooler"),
        "no TLS": ("has no TLS, and the address asks for it", "ssl = on"),
        "password": ("the user or the password is wrong", "copy the password again"),
        "database": ("the server has no such database", "CREATE DATABASE"),
    }
    assert lacks(cases, texts) == {}
    assert texts["session"] == ""
    assert PASSWORD not in str(texts)
    assert server.password not in str(texts)


async def test_what_providers_say_of_a_project_that_is_paused_has_its_next_step():
    said = {
        "supabase": (
            "(ENOTFOUND) tenant/user postgres.abc not found",
            "/project/abc: resume the project",
        ),
        "supabase's old words": ("Tenant or user not found", "resume the project"),
        "neon's quota": ("Your account or project has exceeded the compute time quota.", "Billing"),
        "neon's endpoint": ("The requested endpoint could not be found", "copy the string again"),
        "clients": ("(EMAXCONNSESSION) max clients reached in session mode", "max_connections"),
        "anything": ("no space left on the moon", "read the server's log"),
    }
    texts = {}
    for name, (words, _) in said.items():
        with speaker(refusal(words)) as port:
            texts[name] = wrong(
                await found(f"postgresql://postgres.abc:hunter2@127.0.0.1:{port}/x")
            )
    with speaker(b"", tls=b"HTTP/1.1 400 Bad Request") as port:
        texts["web"] = wrong(await found(f"postgresql://u:hunter2@127.0.0.1:{port}/x"))

    cases = dict(said)
    cases["web"] = ("is no PostgreSQL: it answers b'H'", "correct the port")
    assert lacks(cases, texts) == {}
    assert "hunter2" not in str(texts)
