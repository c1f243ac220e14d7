"""An image for the local Fly that starts at once and passes the gate of a stock server."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import anyio

from helpers.fake_prefect import LOGIN
from helpers.local_daemon import LocalDaemon
from helpers.roost_command import RoostCommand
from roost.environment.load import load_environment
from roost.environment.model import AUTH_SECRET
from roost.fly.client import FlyClient
from roost.plan.desired_state import desired_state
from roost.plan.diff import diff
from roost.plan.live import read_live
from roost.secret_text import SecretText

TESTS = Path(__file__).parents[1]
SMALL = "registry.fly.io/small-server:one"
OTHER = "registry.fly.io/small-server:two"
"""The same under another name."""
NAME = "demo"
SMALL_PREFECT = "3.8.8"
"""What it says it is, where nothing else is asked of it."""
# Settings that make it another server: what it says it is, and one of these ways to be no good.
VERSION = "PREFECT_SMALL_VERSION"
TROUBLE = "PREFECT_SMALL_TROUBLE"
SAYS = "PREFECT_SMALL_SAYS"
"""What it writes before it exits."""
EXITS, ILL, FORGETS = "exits", "ill", "forgets"
EATS_MB = "PREFECT_SMALL_EATS_MB"
"""How much memory it takes when it starts."""
LISTENS_AT = "PREFECT_SMALL_LISTENS_AT"
"""Another port than the one that Fly asks."""
CLOCK_S = "PREFECT_SMALL_CLOCK_S"
"""How far its clock is ahead, in seconds."""
# What is imported is the tests' own; the image itself is a bare Python. It keeps the id of each
# flow run that it was given on its volume, before it says so, and has those when it starts again.
PROGRAM = """
import email.utils, hashlib, http.server, json, os, pathlib, sys, time

sys.path.extend(IMPORT_PATH)

import anyio, httpx
from helpers.fake_prefect import LOGIN, FakePrefect

TROUBLE = os.environ.get("PREFECT_SMALL_TROUBLE", "")
if TROUBLE.startswith("exits"):
    sys.exit(os.environ.get("PREFECT_SMALL_SAYS", 1))  # a text goes into the log, and the code is 1
HOARD = b"x" * (int(os.environ.get("PREFECT_SMALL_EATS_MB", "0")) * 2**20)
AHEAD_S = float(os.environ.get("PREFECT_SMALL_CLOCK_S", "0"))
PREFECT = FakePrefect(
    login=os.environ.get("PREFECT_SERVER_API_AUTH_STRING", LOGIN),
    version=os.environ.get("PREFECT_SMALL_VERSION", SMALL_PREFECT),
    api_url="http://nowhere" if TROUBLE.startswith("ill") else "/api",
)
HOME = pathlib.Path(os.environ["PREFECT_HOME"])
HOME.mkdir(parents=True, exist_ok=True)
JOURNAL = HOME / "flow-runs"
if TROUBLE.startswith("forgets"):
    JOURNAL.unlink(missing_ok=True)
for key in JOURNAL.read_text().split() if JOURNAL.exists() else ():
    PREFECT.put("flow_runs", name="kept", id=key)


def keep(content):
    with JOURNAL.open("a") as journal:
        print(json.loads(content)["id"], file=journal, flush=True)
        os.fsync(journal.fileno())


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def date_time_string(self, timestamp=None):
        return email.utils.formatdate((timestamp or time.time()) + AHEAD_S, usegmt=True)

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/kept":
            return self.tell(200, {}, JOURNAL.read_bytes() if JOURNAL.exists() else b"")
        if self.path == "/seen":
            value = os.environ.get("HOOK_URL", "").encode()
            return self.tell(200, {}, hashlib.sha256(value).hexdigest().encode())
        url = f"http://prefect.test{self.path}"
        request = httpx.Request(self.command, url, headers=dict(self.headers), content=body)
        answer = anyio.run(PREFECT, request)
        if (self.command, self.path, answer.status_code) == ("POST", "/api/flow_runs/", 201):
            keep(answer.content)
        if answer.status_code == 101:
            return self.upgrade(answer)
        self.tell(answer.status_code, answer.headers, answer.content)

    def upgrade(self, answer):
        # From here on the bytes are those of a WebSocket, both ways, until the client goes.
        self.close_connection = True
        self.send_response(101)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        socket = answer.extensions["network_stream"]
        while data := self.rfile.read1(65536):
            anyio.run(socket.write, data)
            self.wfile.write(socket.taken())

    def tell(self, status, headers, content):
        self.send_response(status)
        for name, value in headers.items():
            if name != "content-length":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PATCH = do_DELETE = answer


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        # As the real server: a client that hung up is no matter for the log.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


PORT = os.environ.get("PREFECT_SMALL_LISTENS_AT") or os.environ["PREFECT_SERVER_API_PORT"]
Server((os.environ["PREFECT_SERVER_API_HOST"], int(PORT)), Handler).serve_forever()
"""


def build_small_server(folder: Path, cache: Path) -> None:
    """Build the image into a cache, under both names."""
    folder.mkdir()
    # In the program, not in a variable: those are rewritten where they look like a machine's path.
    imports = f"IMPORT_PATH = {[str(TESTS), *sys.path]!r}\nSMALL_PREFECT = {SMALL_PREFECT!r}\n"
    (folder / "program.py").write_text(imports + PROGRAM)
    spec = {"files": ["program.py"], "command": ["python", "program.py"]}
    (folder / "image.json").write_text(json.dumps(spec))
    for ref in (SMALL, OTHER):
        built = LocalDaemon(folder / "home", cache).command(
            "image", "build", str(folder), "--version", "1", "--ref", ref
        )
        assert built.returncode == 0, built.stderr


class SmallSite:
    """An environment that runs the small server, on a local Fly that is already running."""

    def __init__(self, folder: Path, daemon: LocalDaemon, name: str) -> None:
        self.name = name
        self.app = f"/apps/{name}"
        self.daemon = daemon
        self.roost = RoostCommand(folder, Path("/nowhere"), **{AUTH_SECRET: LOGIN})
        self.lead_to(str(daemon.client.base_url))
        self.write()

    def lead_to(self, api_url: str) -> None:
        """Let `--local` find the local Fly at another address, such as a relay."""
        self.roost.home.mkdir(exist_ok=True)
        (self.roost.home / "daemon.json").write_text(json.dumps({"api_url": api_url}))

    def write(self, fields: dict[str, Any] | None = None, **settings: str) -> None:
        """Write the environment file, with these fields, and these settings of the server."""
        prefect = {"version": SMALL_PREFECT, "image": SMALL, "settings": settings}
        self.roost.write(NAME, fields or {}, app=self.name, prefect=prefect)

    @property
    def machine(self) -> Any:
        """The one machine, as the API shows it."""
        [machine] = self.list("machines")
        return machine

    def steps_left(self):
        """Return the steps that a plan would have now."""
        file = load_environment(NAME, self.roost.environments)

        async def look():
            async with FlyClient(str(self.daemon.client.base_url), SecretText("any")) as fly:
                return await read_live(fly, self.name)

        return diff(desired_state(file, SMALL), anyio.run(look)).steps

    def list(self, kind: str):
        """Return the machines or the volumes of the app; none if it does not exist."""
        answer = self.daemon.client.get(f"/v1{self.app}/{kind}")
        return answer.json() if answer.is_success else []

    def assert_whole(self) -> None:
        """Check that everything exists once, and that a plan has nothing left to create, only to prove."""
        [machine] = self.list("machines")
        [volume] = self.list("volumes")
        ips = self.daemon.call("GET", f"{self.app}/ip_assignments")["ips"]
        assert volume["attached_machine_id"] == machine["id"]
        assert sorted(ip["type"] for ip in ips) == ["shared_v4", "v6"]
        assert {step.kind for step in self.steps_left()} <= {"prove-release"}
