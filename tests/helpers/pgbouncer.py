"""A PgBouncer of a test's own, from Debian's packages, in front of a test's PostgreSQL."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from helpers.postgres import ACCOUNT, Postgres
from helpers.waiting import LIMIT_S
from image.machine import free_port

PROGRAM = os.environ.get("PGBOUNCER") or shutil.which(
    "pgbouncer", path=f"/usr/sbin:{os.environ['PATH']}"
)
"""The program; another build is named in the variable PGBOUNCER."""


@contextmanager
def pgbouncer(database: Postgres, mode: str, **options: str) -> Iterator[Postgres]:
    """Run a pooler inside the block, on a port that does not reveal its mode.

    Args:
        database: the server behind it.
        mode: `session`, `transaction` or `statement`.
        options: other lines of its configuration.
    """
    assert PROGRAM, "no PgBouncer here: apt-get install pgbouncer"
    # Not in pytest's folder, which only its owner may enter.
    folder = Path(tempfile.mkdtemp(prefix="pgbouncer-"))
    port = free_port()
    settings = {
        "listen_addr": "127.0.0.1",
        "listen_port": str(port),
        "unix_socket_dir": "",
        "auth_type": "scram-sha-256",
        "auth_file": str(folder / "users.txt"),
        "pool_mode": mode,
        "logfile": str(folder / "log"),
        **options,
    }
    lines = "".join(f"{name} = {value}\n" for name, value in settings.items())
    behind = f"* = host=127.0.0.1 port={urlsplit(database.url).port}\n"
    (folder / "pgbouncer.ini").write_text(f"[databases]\n{behind}[pgbouncer]\n{lines}")
    (folder / "users.txt").write_text(f'"{ACCOUNT}" "{database.password}"\n')
    as_user: dict[str, Any] = {}
    if os.geteuid() == 0:  # it refuses to run as root
        account = pwd.getpwnam(ACCOUNT)
        for path in (folder, *folder.iterdir()):
            os.chown(path, account.pw_uid, account.pw_gid)
        as_user = {"user": ACCOUNT, "group": ACCOUNT, "extra_groups": []}
    process = subprocess.Popen(
        [PROGRAM, "-q", str(folder / "pgbouncer.ini")],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **as_user,
    )
    try:
        _wait(port, process)
        url = f"postgresql://{ACCOUNT}:{database.password}@127.0.0.1:{port}/postgres"
        yield Postgres(url, database.password, database.restart)
    finally:
        process.terminate()
        process.wait(LIMIT_S)
        shutil.rmtree(folder)


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port)):
                return
        except OSError:
            assert process.poll() is None, "PgBouncer ended"
            assert time.monotonic() < deadline, "PgBouncer does not answer"
            time.sleep(0.05)
