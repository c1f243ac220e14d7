"""The database's continuous copy in a bucket: what Litestream is told, and the way back from it.

Imported only where a replica is asked for (see `settings.has_replica`).
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
# A stop gives 20 s to us both (stop_config), and the server needs some of them.
LAST_SYNC_S = 8
SEND_MS = 250  # at most so long a change that was found waits to be sent


@dataclass(frozen=True)
class Replica:
    """Where the copy is, how fresh it is to be, and the keys to it."""

    database: Path
    url: str
    endpoint: str
    region: str
    every_s: float
    path: str = ""
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)

    def config(self, folder: Path) -> str:
        """Return Litestream's configuration to run in a folder; JSON is YAML. No key is in it."""
        replica = {
            "url": self.url,
            "endpoint": self.endpoint,
            "region": self.region,
            "sync-interval": f"{SEND_MS}ms",
        }
        database = {
            "path": str(self.database),
            # Its notes, with what is not sent yet. They go with the process: see `litestream`.
            "meta-path": str(folder / STATE),
            # Each look that finds a change makes one file, and each file is one paid request.
            "monitor-interval": f"{self.every_s:g}s",
            "replica": {name: value for name, value in replica.items() if value},
        }
        settings = {
            "logging": {"level": "warn"},
            "socket": {"enabled": True, "path": SOCKET},
            "shutdown-sync-timeout": f"{LAST_SYNC_S}s",
            "shutdown-sync-interval": "2s",
            # Listing is paid for too, and nobody follows this copy.
            "levels": [{"interval": "5m"}, {"interval": "1h"}],
            "l0-retention-check-interval": "5m",
            "dbs": [database],
        }
        return json.dumps(settings, indent=2)

    def environ(self, folder: Path) -> dict[str, str]:
        """Return the little that Litestream is to know: nothing of ours but the keys of the bucket."""
        return {
            "PATH": self.path,
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "AWS_EC2_METADATA_DISABLED": "true",
            "GOMEMLIMIT": "64MiB",
            **self.keys,
        }

    def hide_keys(self, text: str) -> str:
        """Return a text of Litestream's without the keys."""
        for name, value in self.keys.items():
            text = text.replace(value, f"({name})")
        return text


def read_replica(environ: Mapping[str, str]) -> Replica:
    """Read what was asked for."""
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
    """Make a folder with the configuration, for Litestream to run in; nobody else looks into it."""
    with tempfile.TemporaryDirectory(prefix="litestream-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / CONFIG).write_text(replica.config(folder), encoding="utf-8")
        yield folder


def restore_lost(environ: Mapping[str, str]) -> None:
    """Fetch the database back onto an empty volume; one that has a database is left alone.

    Raises:
        BootError: the replica cannot be read. To begin with an empty database would let that one
            take the place of the copy.
    """
    replica = read_replica(environ)
    if is_taken(replica.database):
        return
    print(f"roost: the volume is empty; looking for its database at {replica.url}", flush=True)
    if create_once(replica.database, lambda aside: fetch(replica, aside)):
        size = replica.database.stat().st_size
        print(f"roost: its database is back from {replica.url} ({size / 1e6:.1f} MB)", flush=True)
    else:
        print("roost: nothing was copied there yet; beginning anew", flush=True)


def fetch(replica: Replica, target: Path) -> None:
    """Write the newest state that the replica has to a file; none where the replica is empty.

    Raises:
        BootError: it cannot be read, or what it gave is not whole.
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
            f"({replica.hide_keys(reason)}); mend database.replicate or the secrets "
            f"{' and '.join(KEYS)}, or take replicate out to begin with an empty database"
        )
