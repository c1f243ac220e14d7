"""What the launcher finds out of a database by asking, with a real PostgreSQL and real poolers.

Every pooler has a port that says nothing. `PGBOUNCER=PATH ./run tests tests/e2e/test_poolers.py` tries
another build of PgBouncer than the one that is installed.
"""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial

import httpx
import pytest

from helpers.pgbouncer import PROGRAM, pgbouncer
from helpers.plain_http import NO_TLS
from helpers.postgres import find_programs, make_certificate, postgres_server
from helpers.prefect_process import LOGIN, PrefectProcess
from roost_server.postgres_faults import Fault

PROGRAMS = find_programs()
KEY = int.from_bytes(b"roost")
POOLERS = {
    "session": ("session", {}),
    "transaction": ("transaction", {}),
    "one session for all": ("transaction", {"default_pool_size": "1"}),
    "in turn": ("transaction", {"server_round_robin": "1", "min_pool_size": "3"}),
    "statement": ("statement", {}),
}
# Asks as the launcher does, for each address in the environment; gives what it found, or why not.
ASK = """
import json, os, sys
from roost_server.errors import BootError
from roost_server.postgres_address import POOLING, database_settings
from roost_server.postgres_pooler import probe_pooling
from roost_server.postgres_certificate import certificate_settings
found = {}
for name, url in json.loads(sys.stdin.read()).items():
    environ = {**os.environ, "ROOST_DATABASE_URL_VARIABLE": "DB_URL", "DB_URL": url}
    try:
        environ |= database_settings(environ)
        os.environ |= certificate_settings(environ)
        found[name] = probe_pooling(environ)[POOLING]
    except BootError as error:
        found[name] = str(error)
print(json.dumps(found), file=sys.stderr)
"""
# Tries each database as a machine of its own does; gives the exit codes.
TRY = """
import json, os, sys
from roost_server.postgres_trial import try_database
def tried(url):
    return try_database({**os.environ, "ROOST_DATABASE_URL_VARIABLE": "DB_URL", "ROOST_TRIAL_DB_URL": url})
found = {name: tried(url) for name, url in json.loads(sys.stdin.read()).items()}
print(json.dumps(found), file=sys.stderr)
"""
# Databases that cannot be used, each in a way of its own.
WRONG = """
CREATE ROLE nobody LOGIN PASSWORD 'hunter2';
CREATE ROLE half LOGIN PASSWORD 'hunter2';
CREATE DATABASE bare;
CREATE DATABASE sealed;
ALTER DATABASE sealed SET default_transaction_read_only = on;
\\connect bare
GRANT CREATE ON SCHEMA public TO half;
CREATE DATABASE newer;
\\connect newer
CREATE TABLE alembic_version (version_num text);
INSERT INTO alembic_version VALUES ('ffffffffffff');
"""
# Gives what is left in the sessions of a pooler; each transaction that is open at once has another.
LEFT = """
import asyncio, asyncpg, json, sys
async def look(url):
    clients = [await asyncpg.connect(url, statement_cache_size=0) for _ in range(12)]
    for client in clients:
        await client.execute("BEGIN")
    names = [
        row["name"] for client in clients
        for row in await client.fetch("SELECT name FROM pg_prepared_statements")
        if row["name"].startswith("__asyncpg")
    ]
    locks = await clients[0].fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
    for client in clients:
        await client.close()
    return {"names": names, "locks": locks}
print(json.dumps(asyncio.run(look(sys.stdin.read()))), file=sys.stderr)
"""
# Takes the turn to migrate, with little patience.
TURN = """
import asyncio, sys
from roost_server.errors import BootError
from roost_server.migration_lock import postgres_lock
async def take():
    async with postgres_lock({"PREFECT_API_DATABASE_CONNECTION_URL": sys.stdin.read()}, 0.5)():
        return "taken"
try:
    print(asyncio.run(take()), file=sys.stderr)
except BootError as error:
    print(error, file=sys.stderr)
"""

pytestmark = pytest.mark.skipif(
    PROGRAMS is None or PROGRAM is None,
    reason="no PostgreSQL or no PgBouncer here: apt-get install postgresql pgbouncer",
)


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """A server that does TLS, with its certificate."""
    folder = tmp_path_factory.mktemp("certificate")
    certificate = make_certificate(folder)
    assert PROGRAMS is not None
    with postgres_server(PROGRAMS, folder) as server:
        yield server, certificate


def run(image, program, given, **environ):
    """Run a program with the image's Python; gives what it says last."""
    done = subprocess.run(
        [str(image.bin / "python"), "-c", program],
        env={"PYTHONPATH": str(image.folder), **environ},
        input=given,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stderr.strip()


def test_a_pooler_in_transaction_mode_is_found_by_asking(image, database):
    server, _ = database
    with ExitStack() as stack:
        urls = {
            name: stack.enter_context(pgbouncer(server, mode, **options)).url
            for name, (mode, options) in POOLERS.items()
        }
        found = json.loads(run(image, ASK, json.dumps({"none": server.url, **urls})))

    assert "in statement mode" in found.pop("statement")
    assert found == {
        "none": "direct",
        "session": "direct",
        **dict.fromkeys(("transaction", "one session for all", "in turn"), "transaction"),
    }


def test_an_address_that_does_not_work_is_told_in_a_sentence_without_its_password(image, database):
    server, certificate = database
    with pgbouncer(server, "transaction") as pooler:
        urls = {
            "password": server.url.replace(server.password, "hunter2"),
            "pooler's password": pooler.url.replace(server.password, "hunter2"),
            "database": f"{server.url}-hunter2",
            "pooler's database": f"{pooler.url}-hunter2",
            "port": "postgresql://u:hunter2@127.0.0.1:1/db",
            "host": "postgresql://u:hunter2@hunter2.invalid/db",
            "no TLS": f"{pooler.url}?sslmode=require",
            "authority": f"{server.url}?sslmode=verify-full",
            "secret": f"{server.url}?sslmode=verify-full&sslrootcert=DATABASE_CA",
        }
        text = run(image, ASK, json.dumps(urls), DATABASE_CA=certificate)

    found = json.loads(text)
    expected = {
        "password": "refuses the user or the password",
        "pooler's password": "refuses the user or the password",
        "database": "no database of the name that stands after the host",
        "pooler's database": "no database of the name that stands after the host",
        "port": "nothing answers at the host and the port",
        "host": "the host is not found",
        "no TLS": "does no TLS",
        "authority": "is not signed by the authority",
        "secret": "direct",
    }
    assert {name: said for name, said in expected.items() if said not in found[name]} == {}
    assert "hunter2" not in text
    assert server.password not in text


def test_a_database_that_prefect_could_not_use_is_found_and_left_as_it_was(image, database):
    server, _ = database
    with psql(server) as prepared:
        prepared.communicate(WRONG)
    as_user = {
        user: server.url.replace(f"postgres:{server.password}", f"{user}:hunter2")
        for user in ("nobody", "half")
    }
    urls = {
        "good": f"{server.url.removesuffix('postgres')}bare",
        "no right": f"{as_user['nobody'].removesuffix('postgres')}bare",
        "no extension": f"{as_user['half'].removesuffix('postgres')}bare",
        "read only": f"{server.url.removesuffix('postgres')}sealed",
        "newer": f"{server.url.removesuffix('postgres')}newer",
        "form": "mysql://u:hunter2@h/db",
    }

    found = json.loads(run(image, TRY, json.dumps(urls)))

    assert found == {
        "good": 0,
        "no right": Fault.NO_RIGHT,
        "no extension": Fault.NO_EXTENSION,
        "read only": Fault.READ_ONLY,
        "newer": Fault.NEWER_SCHEMA,
        "form": Fault.ADDRESS,
    }
    with psql(server) as left:
        tables, _ = left.communicate("\\connect bare\n\\dt\n\\dx\n")
    assert "roost_trial" not in tables
    assert "pg_trgm" not in tables


def test_who_holds_the_turn_to_migrate_is_named_before_anybody_gives_up_on_the_server(
    image, database
):
    server, _ = database
    url = server.url.replace("postgresql:", "postgresql+asyncpg:")
    with psql(server) as held:
        held.stdin.write(f"SELECT 'held' FROM pg_advisory_lock({KEY});\n")
        held.stdin.flush()
        assert held.stdout.readline() == "held\n"
        refused = run(image, TURN, url)
        held.stdin.close()
        held.wait()
    taken = run(image, TURN, url)

    assert "has held the migration lock for more than 0 s: process " in refused
    assert "(psql, from 127.0.0.1, connected since " in refused
    assert "SELECT pg_terminate_backend(" in refused
    assert taken == "taken"
    assert server.password not in refused


@pytest.mark.slow
def test_behind_a_pooler_in_transaction_mode_a_killed_server_leaves_nothing_for_the_next(
    image, database, tmp_path
):
    """Else its locks and its statements' names stay in the pooler's sessions."""
    server, _ = database
    with pgbouncer(server, "transaction") as pooler:
        address = {"ROOST_DATABASE_URL_VARIABLE": "DB_URL", "DB_URL": pooler.url}
        for name in ("first", "second"):
            with PrefectProcess(image, tmp_path / name, **address) as prefect:
                with ThreadPoolExecutor(12) as threads:
                    statuses = list(threads.map(partial(make_flow, prefect), range(60)))
                log = prefect.log_file.read_text()
            assert set(statuses) == {201}
            assert "behind a pooler in transaction mode" in log
            assert "Traceback" not in log
        left = json.loads(run(image, LEFT, pooler.url))

    assert left == {"names": [], "locks": 0}


def make_flow(prefect, number):
    """Make a flow; gives the status."""
    auth = tuple(LOGIN.split(":"))
    body = {"name": f"flow-{number}-{prefect.port}"}
    with httpx.Client(
        base_url=prefect.url, auth=auth, trust_env=False, timeout=60, verify=NO_TLS
    ) as http:
        return http.post("/api/flows/", json=body).status_code


def psql(server):
    """Begin a session of psql, which ends with its input; use it in a `with`."""
    assert PROGRAMS is not None
    return subprocess.Popen(
        [str(PROGRAMS / "psql"), "-qAtX", server.url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
