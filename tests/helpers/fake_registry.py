"""An image registry, and a `docker` that pushes to it; both record their calls."""

from __future__ import annotations

import base64
import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from roost.fly.registry import Registry

OWN_TOKEN = "token-of-the-registry"
DIGEST = f"sha256:{'5' * 64}"


@dataclass
class FakeRegistry:
    """Answers as the registry protocol has it, for the holder of one Fly token."""

    token: str
    bearer: bool = False
    """Whether it wants a token of its own, which its own realm gives."""
    realm: str = ""
    """Where it says that is; here, if empty."""
    tags: set[str] = field(default_factory=set)
    """`APP:TAG` of each image."""
    trouble: list[int] = field(default_factory=list)
    """Statuses of the next answers, whatever is asked; 0 is none at all."""
    forgets: bool = False
    """Whether a push changes nothing."""
    asked: list[str] = field(default_factory=list)
    host: str = ""

    def answer(self, verb: str, path: str, login: str) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body of an answer."""
        self.asked.append(f"{verb} {path}")
        if self.trouble:
            status = self.trouble.pop(0)
            time.sleep(0 if status else 1)
            return status or 200, {"Retry-After": "0"}, b""
        basic = f"Basic {base64.b64encode(f'x:{self.token}'.encode()).decode()}"
        if path.startswith("/token"):
            body = json.dumps({"token": OWN_TOKEN}).encode()
            return (200, {}, body) if login == basic else (401, {}, b"")
        wanted = f"Bearer {OWN_TOKEN}" if self.bearer else basic
        if login != wanted and not (verb == "PUT" and login == basic):
            realm = self.realm or f"http://{self.host}/token"
            challenge = f'Bearer realm="{realm}",service="fly",scope="repository:a:pull"'
            return 401, {"WWW-Authenticate": challenge if self.bearer else "Basic"}, b""
        _, _, app, _, tag = path.split("/")
        if verb == "PUT":
            self.tags |= set() if self.forgets else {f"{app}:{tag}"}
            return 201, {}, b""
        return (200 if f"{app}:{tag}" in self.tags else 404), {}, b""


def full_registry(*arguments: Any, **options: Any) -> Registry:
    """Open the real client with a registry in memory that has every image."""
    everything = httpx.MockTransport(lambda _: httpx.Response(200))
    return Registry(*arguments, **options, transport=everything)


@contextmanager
def fake_registry(token: str) -> Iterator[FakeRegistry]:
    """Serve a registry on this computer."""
    registry = FakeRegistry(token)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            login = self.headers.get("Authorization", "")
            status, headers, body = registry.answer(self.command, self.path, login)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body if self.command != "HEAD" else b"")

        do_HEAD = do_PUT = do_GET  # noqa: N815 - names that http.server calls

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    registry.host = f"127.0.0.1:{server.server_address[1]}"
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


# Keeps what it was given beside itself; a file `fails` names the commands that end with 1.
DOCKER = """#!{python}
import json, os, pathlib, sys, urllib.request

HERE = pathlib.Path(__file__).parent
ARGUMENTS = sys.argv[1:]
GIVEN = "" if sys.stdin.isatty() else sys.stdin.read()
with (HERE / "calls").open("a") as calls:
    print(json.dumps({{"argv": sys.argv, "stdin": GIVEN, "env": dict(os.environ)}}), file=calls)
NAME = " ".join(ARGUMENTS[:2]) if ARGUMENTS[0] in ("buildx", "context") else ARGUMENTS[0]
FAILS = HERE / "fails"
if FAILS.exists() and NAME in FAILS.read_text().split("\\n"):
    print(f"no luck with {{NAME}}, and the token is {{GIVEN}}")
    once = HERE / "once"
    if once.exists():
        FAILS.unlink()
    sys.exit(1)
CONFIG = pathlib.Path(os.environ.get("DOCKER_CONFIG", "/nonexistent")) / "config.json"
if NAME == "buildx imagetools":
    print("{digest}")
elif NAME == "context inspect":
    print("unix:///run/fake-docker.sock")
elif NAME == "buildx build":
    context = pathlib.Path(ARGUMENTS[-1])
    files = {{file.name: file.read_text() for file in context.glob("locks/*.txt")}}
    (HERE / "locks").write_text(json.dumps(files))
    print("#1 [1/7] FROM base")
    print("#1 DONE 0.1s", file=sys.stderr)
elif NAME == "login":
    import base64
    host, user = ARGUMENTS[-1], ARGUMENTS[2]
    auth = base64.b64encode(f"{{user}}:{{GIVEN}}".encode()).decode()
    CONFIG.write_text(json.dumps({{"auths": {{host: {{"auth": auth}}}}}}))
    print("Login Succeeded")
elif NAME == "push":
    host, _, rest = ARGUMENTS[1].partition("/")
    app, _, tag = rest.partition(":")
    auth = json.loads(CONFIG.read_text())["auths"][host]["auth"]
    asked = urllib.request.Request(
        f"http://{{host}}/v2/{{app}}/manifests/{{tag}}", data=b"{{}}", method="PUT",
        headers={{"Authorization": f"Basic {{auth}}"}},
    )
    urllib.request.urlopen(asked).close()
"""


class FakeDocker:
    """A program `docker` in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        program = folder / "docker"
        program.write_text(DOCKER.format(python=sys.executable, digest=DIGEST))
        program.chmod(0o755)

    def fail(self, *names: str, once: bool = False) -> None:
        """Let commands fail from now on, or only the next time."""
        (self.folder / "fails").write_text("\n".join(names))
        if once:
            (self.folder / "once").touch()

    @property
    def calls(self):
        """Return every call: its arguments, what it read and its environment."""
        log = self.folder / "calls"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    @property
    def locks(self) -> dict[str, str]:
        """Return the locks in the folder that was built last, by name."""
        found: dict[str, str] = json.loads((self.folder / "locks").read_text())
        return found

    @property
    def names(self) -> list[str]:
        """Return what was called, in order."""
        calls = [call["argv"][1:] for call in self.calls]
        return [" ".join(c[:2]) if c[0] in ("buildx", "context") else c[0] for c in calls]
