"""The database's replica in a bucket: Litestream's configuration, and the restore from it.

Imported only if a replica is configured (see `settings.has_replica`).
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from roost_server.errors import BootError
from roost_server.seed_database import create_once, is_taken
from roost_server.settings import DATABASE, REPLICA_URL, home_folder

KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
CONFIG, SOCKET, STATE = "litestream.json", "litestream.sock", "state"
PROGRAM = "litestream"
# A stop has 20 s for the server and Litestream together (stop_config).
LAST_SYNC_S = 8
SEND_MS = 250  # the longest time from finding a change to sending it


@dataclass(frozen=True)
class Replica:
    """Where the replica is, how often it is updated, and the keys of the bucket."""

    database: Path
    url: str
    endpoint: str
    region: str
    every_s: float
    path: str = ""
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)

    def config(self, folder: Path) -> str:
        """Return Litestream's configuration for a working folder, as JSON without keys."""
        replica = {
            "url": self.url,
            "endpoint": self.endpoint,
            "region": self.region,
            "sync-interval": f"{SEND_MS}ms",
        }
        database = {
            "path": str(self.database),
            # Litestream's state, with what is not sent yet. It is deleted with the process: see
            # `litestream`.
            "meta-path": str(folder / STATE),
            # Each interval with a change creates one file, and each file is one paid request.
            "monitor-interval": f"{self.every_s:g}s",
            "replica": {name: value for name, value in replica.items() if value},
        }
        settings = {
            "logging": {"level": "warn"},
            "socket": {"enabled": True, "path": SOCKET},
            "shutdown-sync-timeout": f"{LAST_SYNC_S}s",
            "shutdown-sync-interval": "2s",
            # Listing costs requests too, and nothing reads this replica continuously.
            "levels": [{"interval": "5m"}, {"interval": "1h"}],
            "l0-retention-check-interval": "5m",
            "dbs": [database],
        }
        return json.dumps(settings, indent=2)

    def environ(self, folder: Path) -> dict[str, str]:
        """Return Litestream's environment; the bucket's keys are its only secrets."""
        return {
            "PATH": self.path,
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "AWS_EC2_METADATA_DISABLED": "true",
            "GOMEMLIMIT": "64MiB",
            **self.keys,
        }

    def hide_keys(self, text: str) -> str:
        """Return a text of Litestream with each key replaced by its name."""
        for name, value in self.keys.items():
            text = text.replace(value, f"({name})")
        return text


def read_replica(environ: Mapping[str, str]) -> Replica:
    """Return the replica that the environment configures."""
    return Replica(
        database=(home_folder(environ) / DATABASE).absolute(),
        url=environ[REPLICA_URL],
        endpoint=environ.get("ROOST_REPLICA_ENDPOINT", ""),
        region=environ.get("ROOST_REPLICA_REGION", ""),
        every_s=float(environ.get("ROOST_REPLICA_EVERY_S", "1")),
        path=environ.get("PATH", os.defpath),
        keys={name: environ[name] for name in KEYS if environ.get(name)},
    )


@contextmanager
def working_folder(replica: Replica) -> Iterator[Path]:
    """Create a folder with the configuration, readable by this user alone."""
    with tempfile.TemporaryDirectory(prefix="litestream-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / CONFIG).write_text(replica.config(folder), encoding="utf-8")
        yield folder


def restore_lost(environ: Mapping[str, str]) -> None:
    """Restore the database from the replica if the volume has none.

    Raises:
        BootError: the replica cannot be read. Starting with an empty database instead would replace
            the replica.
    """
    replica = read_replica(environ)
    if is_taken(replica.database):
        return
    print(f"roost: the volume is empty; looking for its database at {replica.url}", flush=True)
    if create_once(replica.database, lambda aside: fetch(replica, aside)):
        size = replica.database.stat().st_size
        print(f"roost: its database is back from {replica.url} ({size / 1e6:.1f} MB)", flush=True)
    else:
        print("roost: the replica is empty; starting with a new database", flush=True)


def fetch(replica: Replica, target: Path) -> None:
    """Restore the newest state of the replica to a file; write none if the replica is empty.

    Raises:
        BootError: the replica cannot be read, or the restored database is damaged.
    """
    options = ("-no-expand-env", "-config", CONFIG, "-if-replica-exists")
    to = ("-integrity-check", "quick", "-o", str(target), str(replica.database))
    with working_folder(replica) as folder:
        done = subprocess.run(  # noqa: S603 - the program of the image, on values that were checked
            [PROGRAM, "restore", *options, *to],
            cwd=folder,
            env=replica.environ(folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
    for end in ("-wal", "-shm"):
        target.with_name(f"{target.name}{end}").unlink(missing_ok=True)
    if done.returncode:
        target.unlink(missing_ok=True)
        reason = (done.stdout.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise BootError(
            f"the volume is empty, and the replica {replica.url} cannot be read "
            f"({replica.hide_keys(reason)}); fix database.replicate or the secrets "
            f"{' and '.join(KEYS)}, or remove replicate to start with an empty database"
        )
