"""A PostgreSQL server of a test's own, from Debian's packages: in a folder of its own, on a free port."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from helpers.waiting import LIMIT_S
from image.machine import free_port

ACCOUNT = "postgres"


def find_programs() -> Path | None:
    """Return the folder of the newest server that is installed, if one is."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    return found[-1].parent if found else None


@dataclass(frozen=True)
class Postgres:
    """A running server; only its URL has the login."""

    url: str
    password: str
    restart: Callable[[], None] = field(repr=False, compare=False)
    """Stops it as an administrator does, cutting every connection, and starts it again."""


@contextmanager
def postgres_server(programs: Path, certificate: Path | None = None) -> Iterator[Postgres]:
    """Run a server inside the block, as another user if the tests run as root.

    Args:
        programs: the folder of its programs.
        certificate: a folder with `server.crt` and `server.key`, for TLS.
    """
    user = ACCOUNT if os.geteuid() == 0 else None
    # Not in pytest's folder, which only its owner may enter.
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    password, port = secrets.token_urlsafe(16), free_port()
    (folder / "password").write_text(password)
    tls = _tls_options(folder, certificate) if certificate else []
    if user:
        account = pwd.getpwnam(user)
        for path in (folder, *folder.iterdir()):
            os.chown(path, account.pw_uid, account.pw_gid)
    as_user: dict[str, Any] = {"user": user, "group": user, "extra_groups": []} if user else {}
    server: subprocess.Popen[bytes] | None = None

    def start() -> None:
        nonlocal server
        server = subprocess.Popen(
            [
                str(programs / "postgres"),
                "-D",
                str(folder / "data"),
                "-p",
                str(port),
                "-k",
                str(folder),
                "-c",
                "listen_addresses=127.0.0.1",
                "-c",
                "fsync=off",
                *tls,
            ],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **as_user,
        )
        _wait(programs, port, server)

    def restart() -> None:
        assert server is not None
        server.send_signal(signal.SIGINT)
        server.wait(LIMIT_S)
        start()

    try:
        subprocess.run(
            [
                str(programs / "initdb"),
                "-D",
                str(folder / "data"),
                "-U",
                ACCOUNT,
                "--no-sync",
                "--auth=scram-sha-256",
                f"--pwfile={folder / 'password'}",
            ],
            cwd=folder,
            check=True,
            capture_output=True,
            **as_user,
        )
        start()
        yield Postgres(
            f"postgresql://{ACCOUNT}:{password}@127.0.0.1:{port}/postgres", password, restart
        )
    finally:
        if server is not None:
            server.send_signal(signal.SIGQUIT)  # at once: nobody wants the data
            server.wait(LIMIT_S)
        shutil.rmtree(folder)


def _tls_options(folder: Path, certificate: Path) -> list[str]:
    options = ["-c", "ssl=on"]
    for setting, name in (("ssl_cert_file", "server.crt"), ("ssl_key_file", "server.key")):
        shutil.copyfile(certificate / name, folder / name)
        (folder / name).chmod(0o600)  # the server refuses a key that others can read
        options += ["-c", f"{setting}={folder / name}"]
    return options


def make_certificate(folder: Path) -> str:
    """Create a self-signed certificate for 127.0.0.1, and return its text."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-keyout", str(folder / "server.key"), "-out", str(folder / "server.crt")),
            *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    return (folder / "server.crt").read_text()


def _wait(programs: Path, port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + LIMIT_S
    asked = [str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
    while subprocess.run(asked, check=False).returncode:
        assert server.poll() is None, "PostgreSQL ended"
        assert time.monotonic() < deadline, "PostgreSQL does not answer"
        time.sleep(0.05)
