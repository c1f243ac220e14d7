"""A local Fly as a process of its own, called over HTTP, killed and restarted."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil

from helpers.plain_http import NO_TLS
from helpers.waiting import LIMIT_S, until

SCRIPTS = Path(__file__).parents[2] / "scripts"
REF = "registry.fly.io/tiny:one"
PORT = 8080
LONGEST_WAIT_S = 60  # that the API waits in one call
NOT_YET = 408
# A server that tells what it is, keeps a file on its volume, and ends or sleeps when asked.
PROGRAM = """
import http.client, http.server, json, os, pathlib, socket, sys

ADDRESS = os.environ["ADDRESS"]
DATA = pathlib.Path(os.environ.get("DATA") or os.environ["TMPDIR"])
STATE = {"count": 0, "hoard": []}


class Own(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(os.environ["FLY_API_SOCKET"])


def own(verb, path):
    app, machine = os.environ["FLY_APP_NAME"], os.environ["FLY_MACHINE_ID"]
    connection = Own("localhost", timeout=300)
    connection.request(verb, path.replace("SELF", f"/v1/apps/{app}/machines/{machine}"))
    answer = connection.getresponse()
    return {"status": answer.status, "body": answer.read().decode()}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        STATE["count"] += 1
        path, _, query = self.path.partition("?")
        body = getattr(self, "on" + path.replace("/", "_"), lambda _: {"path": path})(query)
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def on_env(self, _):
        return dict(os.environ)

    def on_count(self, _):
        return {"count": STATE["count"], "pid": os.getpid()}

    def on_write(self, text):
        (DATA / "note").write_text(text)
        return {}

    def on_read(self, _):
        return {"note": (DATA / "note").read_text()}

    def on_own(self, query):
        verb, _, path = query.partition("&")
        return own(verb, path)

    def on_exit(self, code):
        os._exit(int(code))

    def on_hoard(self, megabytes):
        STATE["hoard"].append(bytearray(os.urandom(1024)) * 1024 * int(megabytes))
        return {}


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        # As a real server: a client that hung up is no matter for the log.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


print("listening", flush=True)
Server((ADDRESS, 8080), Handler).serve_forever()
"""


def write_parts(folder: Path) -> Path:
    """Write a folder of parts for a small image without a lock."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "program.py").write_text(PROGRAM)
    spec = {
        "files": ["program.py"],
        "command": ["python", "program.py"],
        "env": {"ADDRESS": "0.0.0.0"},
    }
    (folder / "image.json").write_text(json.dumps(spec))
    return folder


def tiny_config(**changes):
    """Return the config of a machine that runs the small image, and sleeps only on request."""
    service = {
        "protocol": "tcp",
        "internal_port": PORT,
        "autostart": True,
        "autostop": "off",
        "ports": [{"port": 443, "handlers": ["tls", "http"]}],
    }
    guest = {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256}
    return {"image": REF, "guest": guest, "services": [service], **changes}


class LocalDaemon:
    """One home folder, and the daemon that serves it while it runs."""

    def __init__(self, home: Path, cache: Path) -> None:
        self.home = home
        self.env = {
            **{name: value for name, value in os.environ.items() if name != "FLY_API_TOKEN"},
            "LOCALFLY_HOME": str(home),
            "LOCALFLY_CACHE": str(cache),
            "PYTHONPATH": str(SCRIPTS),
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.client = httpx.Client(trust_env=False, verify=NO_TLS)

    def command(
        self, *arguments: str, timeout: float = LIMIT_S
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of the local Fly's command line."""
        return subprocess.run(
            [sys.executable, "-m", "localfly", *arguments],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def start(self, *arguments: str) -> LocalDaemon:
        """Start the daemon and wait until it answers."""
        log = self.home.parent / f"{self.home.name}.log"
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "localfly", "serve", *arguments],
                env=self.env,
                stdout=output,
                stderr=output,
            )
        self.connect(until(lambda: self._address(log)))
        return self

    def _address(self, log: Path) -> str:
        """Return the address of the daemon; nothing before it serves."""
        assert self.process is not None
        assert self.process.poll() is None, log.read_text()
        with contextlib.suppress(OSError, ValueError):
            record = json.loads((self.home / "daemon.json").read_text())
            if record["pid"] == self.process.pid:
                return str(record["api_url"])
        return ""

    def connect(self, url: str, token: str = "anything") -> None:
        """Send requests to this address from now on."""
        self.client.close()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.client = httpx.Client(
            base_url=url, headers=headers, trust_env=False, timeout=LIMIT_S, verify=NO_TLS
        )

    def kill(self) -> None:
        """Kill the daemon, as a power cut would; its machines keep running."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """End the daemon as its users do, if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(LIMIT_S)
        self.client.close()

    def clean(self) -> None:
        """Leave no process behind, whatever happened before."""
        try:
            self.stop()
        finally:
            for process in self.machine_processes():
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()

    def machine_processes(self) -> list[psutil.Process]:
        """Find the processes of this home's machines."""
        roots = str(self.home / "roots")
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                alive = process.status() != psutil.STATUS_ZOMBIE
                if alive and process.environ().get("HOME", "").startswith(roots):
                    found.append(process)
        return found

    # Requests

    def call(self, verb: str, path: str, body=None, *, expect: int = 200, **options):
        """Send a request below /v1 and return the parsed answer, which has the status expected."""
        answer = self.client.request(verb, f"/v1{path}", json=body, **options)
        assert answer.status_code == expect, (verb, path, answer.status_code, answer.text)
        assert answer.headers["fly-request-id"]
        return answer.json() if answer.content else None

    def new_app(self, name: str) -> str:
        """Create an app and return its path."""
        self.call("POST", "/apps", {"name": name, "org_slug": "personal"}, expect=201)
        return f"/apps/{name}"

    def new_machine(self, app: str, *, wait: str = "started", **request):
        """Create a machine and wait until it is there."""
        body = {"config": tiny_config(), **request}
        machine = self.call("POST", f"{app}/machines", body)
        if wait:
            self.wait(app, machine["id"], wait)
        return machine

    def wait(self, app: str, machine: str, state: str, **params):
        """Wait for a state of a machine, in the version it has now unless another is named."""
        version = self.machine(app, machine)["instance_id"]
        query = {"state": state, "timeout": LONGEST_WAIT_S, "version": version, **params}
        ends = time.monotonic() + LIMIT_S
        while True:
            answer = self.client.get(f"/v1{app}/machines/{machine}/wait", params=query)
            if answer.status_code != NOT_YET or time.monotonic() > ends:
                break
        assert answer.status_code == 200, (machine, state, answer.status_code, answer.text)
        return answer.json()

    def machine(self, app: str, machine: str):
        """Return a machine as the API shows it."""
        return self.call("GET", f"{app}/machines/{machine}")

    def events(self, app: str, machine: str):
        """Return a machine's events, oldest first, as `type/status/source`."""
        found = self.call("GET", f"{app}/machines/{machine}/events", params={"limit": 50})
        return [f"{e['type']}/{e['status']}/{e['source']}" for e in reversed(found)]

    def ask(self, app: str, path: str = "/"):
        """Send a request to an app through its proxy, and return what it answers well."""
        answer = self.proxied(app, path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def proxied(self, app: str, path: str = "/") -> httpx.Response:
        """Send a request to an app through its proxy."""
        status = self.client.get("/localfly/status").json()
        port = status["apps"][app.removeprefix("/apps/")]["port"]
        return httpx.get(
            f"http://127.0.0.1:{port}{path}", trust_env=False, timeout=LIMIT_S, verify=NO_TLS
        )
