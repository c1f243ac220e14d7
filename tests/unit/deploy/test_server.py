"""The machine's program, run as on a machine, with a stand-in for Prefect."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from helpers.plain_http import NO_TLS
from helpers.waiting import LIMIT_S
from image.machine import free_port

SERVER = Path(__file__).parents[3] / "deploy" / "server.py"
PASSWORD = "p4ssw0rd-of-somebody"
# Notes what it is imported with, and answers; its settings are checked as Prefect's are.
PREFECT = """
import asyncio, gc, json, logging, os, pathlib, pydantic, sqlite3, sys

class Settings(pydantic.BaseModel):
    connection_url: pydantic.PostgresDsn | None = None

pathlib.Path(os.environ["NOTE"]).write_text(json.dumps(dict(os.environ)))
collecting = gc.isenabled()
Settings(connection_url=os.environ.get("CHECKED_URL"))

def create_app():
    return app

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        if "ILL" in os.environ:
            try:
                raise OSError("cannot reach " + os.environ["ILL"])
            except OSError:
                logging.getLogger("prefect.server").exception("The scheduler failed")
        if "BROKEN" in os.environ:
            await send({"type": "lifespan.startup.failed", "message": "no migration"})
        if "LAST_WORDS" in os.environ:
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            with sqlite3.connect(os.environ["PREFECT_HOME"] + "/prefect.db") as connection:
                connection.execute("INSERT INTO note VALUES (?)", (os.environ["LAST_WORDS"],))
            await send({"type": "lifespan.shutdown.complete"})
        return
    body = json.dumps({
        "scheme": scope["scheme"], "while_imported": collecting, "now": gc.isenabled(),
        "copying": [name for name in sys.modules if name.endswith((".litestream", ".replica"))],
    }).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/slow":
        await send({"type": "http.response.body", "body": b"begun ", "more_body": True})
        await asyncio.sleep(float(os.environ.get("SLOW_S", "0.3")))
    await send({"type": "http.response.body", "body": body})
"""

# What of Prefect and SQLAlchemy our own code touches while it serves (see sqlite_writers, draining,
# carrying and resent_events).
INSIDES = {
    "prefect/settings.py": """
import os
from types import SimpleNamespace as Of

class Settings: ...

class Url(str):
    get_secret_value = str.__str__

def get_current_settings():
    # As Prefect: in any case, and without a name its own file.
    found = {name.upper(): value for name, value in os.environ.items()}
    own = f"sqlite+aiosqlite:///{found['PREFECT_HOME']}/prefect.db"
    url = Url(found.get("PREFECT_SERVER_DATABASE_CONNECTION_URL") or own)
    return Of(server=Of(database=Of(connection_url=url), api=Of(base_path=None)))
""",
    "prefect/server/database/configurations.py": """
class AioSqliteConfiguration:
    def begin_transaction(self, session, with_for_update=False): ...
""",
    "prefect/server/events/triggers.py": "",
    "prefect/server/utilities/messaging/memory.py": """
class Topic:
    _topics = {}

class Consumer:
    def __init__(self, topic, subscription=None): ...
""",
    "prefect/server/database/__init__.py": "def provide_database_interface(): ...",
    "prefect/server/events/storage/database.py": "async def _write_sqlite_events(_, __): ...",
    "sqlalchemy/__init__.py": "",
    "sqlalchemy/event.py": "def listen(*_): ...",
    "sqlalchemy/engine.py": "class Engine: ...",
    "sqlalchemy/pool.py": "class Pool: ...",
    "sqlalchemy/util.py": "await_only = None",
}
# What this process has compiled, the program need not compile again; without such a folder it does.
BYTECODE = ["-X", f"pycache_prefix={sys.pycache_prefix}"] if sys.pycache_prefix else []


@pytest.fixture
def stand_in(tmp_path):
    """A folder with a stand-in package for Prefect."""
    package = tmp_path / "packages" / "prefect" / "server" / "api"
    package.mkdir(parents=True)
    (package / "server.py").write_text(PREFECT)
    for name, content in INSIDES.items():
        path = tmp_path / "packages" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return tmp_path / "packages"


@pytest.fixture
def environ(tmp_path):
    """A machine's environment, with its own volume and image."""
    return {
        "PREFECT_HOME": str(tmp_path / "home"),
        "PREFECT_SERVER_API_PORT": str(free_port()),
        "IMAGE_ROOT": str(tmp_path / "image"),
        "NOTE": str(tmp_path / "note.json"),
    }


class Program:
    """A running server."""

    def __init__(self, process, port):
        self.process = process
        self.url = f"http://127.0.0.1:{port}"
        self.told = []

    def wait_until_ready(self):
        """Read the output until the server is ready; fail if it ends."""
        for line in self.process.stdout:
            self.told.append(line.rstrip())
            if "ready after" in line:
                return self
        pytest.fail(f"it ended: {self.process.stderr.read()}")

    def ask(self, path="/", **options):
        """Request a page."""
        with httpx.Client(base_url=self.url, timeout=LIMIT_S, **options, verify=NO_TLS) as client:
            return client.get(path)

    def wait(self):
        """Wait for its end; return the exit code and the errors."""
        told, trouble = self.process.communicate(timeout=LIMIT_S)
        self.told += told.splitlines()
        return self.process.returncode, trouble


@pytest.fixture
def start(stand_in, environ):
    """Starts the program, and kills it after the test."""
    started = []

    def run(*, path=stand_in, **extra):
        process = subprocess.Popen(
            [sys.executable, "-B", *BYTECODE, str(SERVER)],
            env=environ | extra | {"PYTHONPATH": str(path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return Program(process, environ["PREFECT_SERVER_API_PORT"])

    yield run
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def note(environ):
    """Reads the environment in which Prefect was imported."""
    return lambda: json.loads(Path(environ["NOTE"]).read_text())


@pytest.mark.parametrize(
    ("secret", "fault"),
    [
        pytest.param({}, "the secret DB_URL has no value on this app", id="no value"),
        pytest.param(
            {"DB_URL": f"mysql://u:{PASSWORD}@h/db"}, "DB_URL is no Postgres address", id="wrong"
        ),
    ],
)
def test_without_its_database_it_ends_with_one_line(start, environ, tmp_path, secret, fault):
    program = start(path=tmp_path, ROOST_DATABASE_URL_VARIABLE="DB_URL", **secret)

    code, trouble = program.wait()

    assert (code, program.told) == (1, [])
    assert trouble.startswith(f"roost: the server cannot start: {fault}")
    assert trouble.count("\n") == 1
    assert PASSWORD not in trouble
    assert not Path(environ["NOTE"]).exists()


def test_a_setting_that_prefect_refuses_ends_it_with_one_line(start):
    program = start(CHECKED_URL=f"mysql://u:{PASSWORD}@h/db")

    code, trouble = program.wait()

    assert (code, program.told) == (1, [])
    assert trouble.startswith("roost: the server cannot start: a Prefect setting is wrong (")
    assert "connection_url: " in trouble
    assert trouble.count("\n") == 1
    assert PASSWORD not in trouble


def test_prefect_finds_what_the_machine_and_the_image_imply(start, environ, make_database, note):
    baked = Path(environ["IMAGE_ROOT"]) / "baked"
    make_database(baked / "prefect.db")

    start().wait_until_ready()

    assert (Path(environ["PREFECT_HOME"]) / "prefect.db").exists()
    assert note().items() >= {
        ("PREFECT_SERVER_UI_STATIC_DIRECTORY", str(baked / "ui")),
        ("PREFECT_SERVER_ANALYTICS_ENABLED", "false"),
        ("PREFECT_SERVER_DATABASE_MIGRATE_ON_START", "false"),
        ("PREFECT_SERVER_REGISTER_BLOCKS_ON_START", "false"),
        ("PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE", "roost_server.leases"),
    }


def test_prefect_finds_the_database_that_the_secret_names(start, note):
    url = f"postgres://u:{PASSWORD}@h:6543/db?sslmode=require"

    start(ROOST_DATABASE_URL_VARIABLE="DB_URL", DB_URL=url).wait_until_ready()

    settings = note()
    assert settings["PREFECT_SERVER_DATABASE_CONNECTION_URL"] == (
        f"postgresql+asyncpg://u:{PASSWORD}@h:6543/db?ssl=require"
    )
    caches = "PREFECT_SERVER_DATABASE_SQLALCHEMY_CONNECT_ARGS_STATEMENT_CACHE_SIZE"
    assert settings[caches] == "0"
    assert "PREFECT_SERVER_DATABASE_MIGRATE_ON_START" not in settings


def test_what_a_user_set_stays_as_it_is(start, environ, make_database, note):
    make_database(Path(environ["IMAGE_ROOT"]) / "baked" / "prefect.db")
    own = {
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": "/elsewhere",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "true",
        "PREFECT_SERVER_DATABASE_MIGRATE_ON_START": "true",
        "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "true",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect_redis.lease_storage",
    }

    start(**own).wait_until_ready()

    assert note().items() >= own.items()


def test_nothing_is_collected_while_it_imports_and_everything_after(start):
    program = start().wait_until_ready()

    collecting = program.ask().json()

    assert not collecting["while_imported"]
    assert collecting["now"]


def test_what_a_proxy_says_of_a_client_is_believed(start):
    program = start().wait_until_ready()

    # Fly's proxy does not come from the address that servers trust by themselves.
    with httpx.HTTPTransport(local_address="127.0.0.5") as proxy:
        answer = program.ask(transport=proxy, headers={"x-forwarded-proto": "https"})

    assert answer.json()["scheme"] == "https"


def test_it_serves_but_for_the_costly_pages(start):
    program = start().wait_until_ready()

    statuses = [program.ask(path).status_code for path in ("/", "/docs", "/openapi.json")]

    assert statuses == [200, 404, 404]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda it: it.name)
def test_a_signal_ends_it_without_a_word_of_trouble(start, number):
    program = start().wait_until_ready()

    program.process.send_signal(number)

    assert program.wait() == (0, "")


def test_what_is_under_way_is_finished_before_it_ends(start):
    program = start().wait_until_ready()

    with httpx.stream("GET", f"{program.url}/slow", timeout=LIMIT_S) as answer:
        parts = answer.iter_bytes()
        begun = next(parts)
        program.process.send_signal(signal.SIGTERM)
        rest = b"".join(parts)

    assert (begun, program.wait()) == (b"begun ", (0, ""))
    assert json.loads(rest)["now"]


def test_when_it_is_quiet_it_has_itself_stopped(start, machine_api):
    machine_api.when_asked = lambda: program.process.send_signal(signal.SIGTERM)

    program = start(ROOST_IDLE_ACTION="stop", ROOST_IDLE_AFTER_S="0.1", **machine_api.environ)

    assert program.wait() == (0, "")
    assert machine_api.asked[0] == ("POST", "/v1/apps/acme/machines/m1/stop")
    assert "roost: idle; asked Fly to stop this machine: agreed" in program.told


def test_while_somebody_is_there_it_does_not_ask_to_be_stopped(start, machine_api, says):
    idle = {"ROOST_IDLE_ACTION": "stop", "ROOST_IDLE_AFTER_S": "0.6"}
    machine_api.answers = [says(503)]
    program = start(SLOW_S="1.2", **idle, **machine_api.environ).wait_until_ready()

    with httpx.stream("GET", f"{program.url}/slow", timeout=LIMIT_S) as answer:
        before = len(machine_api.asked)
        answer.read()
        after = len(machine_api.asked)

    assert after == before


def test_a_port_that_is_taken_is_a_failure(start, environ):
    with socket.create_server(("127.0.0.1", int(environ["PREFECT_SERVER_API_PORT"]))):
        program = start()
        code, trouble = program.wait()

    assert code == 1
    assert "address already in use" in trouble
    assert trouble.splitlines()[-1].startswith("roost: the server cannot start: it cannot listen")
    assert "Traceback" not in trouble
    assert program.told == []


def test_a_prefect_that_cannot_start_is_a_failure(start):
    program = start(BROKEN="1")

    code, trouble = program.wait()

    assert code == 1
    assert "no migration" in trouble
    assert trouble.splitlines()[-1].startswith("roost: the server cannot start: Prefect failed")
    assert program.told == []


def test_the_gate_is_told_its_last_error_without_a_secret(start):
    program = start(ILL=PASSWORD, LAST_WORDS="x").wait_until_ready()
    gate = {"x-roost-gate": "1"}

    told = program.ask("/roost/report", headers=gate).json()

    assert told["last_error"] == "The scheduler failed (OSError: cannot reach [hidden])"
    assert told["database"] == "sqlite on the volume"
    assert "last_error" not in program.ask("/roost/report").json()


ENDS = {
    "a setting": (
        {"CHECKED_URL": f"mysql://u:{PASSWORD}@h/db"},
        "a Prefect setting is wrong (connection_url: ",
    ),
    "a start": ({"BROKEN": "1"}, "Prefect failed while it started (no migration)"),
    "a database that only Prefect finds": (
        {"prefect_server_database_connection_url": f"postgresql+asyncpg://u:{PASSWORD}@h/db"},
        "Prefect uses postgres, and not the file on the volume",
    ),
    "a bug": ({"IMAGE_ROOT": ""}, "RuntimeError: no Prefect here"),
}


@pytest.mark.parametrize(("extra", "why"), ENDS.values(), ids=ENDS)
def test_a_machine_that_ends_leaves_the_reason_for_the_gate(
    start, stand_in, machine_api, extra, why
):
    if why.startswith("RuntimeError"):
        (stand_in / "prefect" / "server" / "api" / "server.py").write_text(
            "raise RuntimeError('no Prefect here')"
        )

    code, _ = start(**machine_api.environ, **extra).wait()

    [body] = machine_api.bodies
    left = json.loads(body["value"])["error"]
    assert code == 1
    assert left.startswith(why)
    assert PASSWORD not in left


def test_what_it_writes_last_is_copied_too(
    start, replicated, environ, bucket, place, make_database, read_notes, tmp_path
):
    """Litestream ends after the server, although an init sends both the signal."""
    make_database(Path(environ["PREFECT_HOME"]) / "prefect.db", note="the first")
    own = replicated | {"PREFECT_HOME": environ["PREFECT_HOME"], "ROOST_REPLICA_EVERY_S": "3600"}
    program = start(LAST_WORDS="goodbye", **own).wait_until_ready()

    program.process.send_signal(signal.SIGTERM)

    assert program.wait() == (0, "")
    assert read_notes(bucket.fetch(place, tmp_path / "back.db")) == ["the first", "goodbye"]


def test_without_a_replica_nothing_of_it_is_imported_or_started(start):
    program = start().wait_until_ready()

    assert program.ask().json()["copying"] == []
    assert psutil.Process(program.process.pid).children() == []


def test_an_empty_volume_whose_replica_cannot_be_read_ends_it_with_one_line(start, replicated):
    program = start(**replicated | {"ROOST_REPLICA_URL": "s3://nobodys-bucket/x"})

    code, trouble = program.wait()

    assert code == 1
    assert trouble.startswith(
        "roost: the server cannot start: the volume is empty, and the replica"
    )
    assert trouble.count("\n") == 1
    assert program.told == [
        "roost: the volume is empty; looking for its database at s3://nobodys-bucket/x"
    ]
