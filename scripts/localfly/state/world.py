"""All records of the local Fly, loaded once and written to disk at each change."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from localfly.api_errors import ApiError, not_found
from localfly.state.hosts import Hosts
from localfly.state.ids import snapshot_id
from localfly.state.records import App, Lease, Machine, Record, Token, Volume, timestamp
from localfly.state.store import Store
from localfly.state.weather import Weather

Json = dict[str, Any]

DYING_STATES = ("pending_destroy", "destroyed")
MAX_EVENTS_WAITING = 1000


class World:
    """The apps, volumes and machines, and the folders of their data."""

    def __init__(self, home: Path, weather: Weather | None = None) -> None:
        self.home = home
        self.store = Store(home / "state.db")
        self.apps = {a.name: a for a in map(App.read, self.store.all("app"))}
        self.volumes = {v.id: v for v in map(Volume.read, self.store.all("volume"))}
        self.machines = {m.id: m for m in map(Machine.read, self.store.all("machine"))}
        self.tokens = {t.id: t for t in map(Token.read, self.store.all("token"))}
        placed = {v.host for v in self.volumes.values()} | {m.host for m in self.machines.values()}
        self.hosts = Hosts(weather or Weather(), placed)
        self._key = self._digest_key()
        self._changed = asyncio.Event()
        self._listeners: set[asyncio.Queue[Json]] = set()

    # Saving and publishing

    def save(self, record: Record) -> None:
        """Store a record, and wake the tasks that wait for a change."""
        kind, key = _identity(record)
        self.store.put(kind, key, record.document())
        self._changed.set()
        self._changed = asyncio.Event()

    async def change(self) -> None:
        """Wait until any record is stored."""
        await self._changed.wait()

    def publish(self, machine: Machine, event: Json, took_s: float | None = None) -> None:
        """Send an event to all followers; `took_s` is the duration of the transition in seconds."""
        published = {"app": machine.app, "machine": machine.id, "name": machine.name, **event}
        if took_s is not None:
            published["seconds"] = round(took_s, 4)
        for queue in self._listeners:
            if queue.qsize() < MAX_EVENTS_WAITING:
                queue.put_nowait(published)

    def follow(self) -> asyncio.Queue[Json]:
        """Return a queue of future events; end it with `unfollow`."""
        queue: asyncio.Queue[Json] = asyncio.Queue()
        self._listeners.add(queue)
        return queue

    def unfollow(self, queue: asyncio.Queue[Json]) -> None:
        """Stop sending events to a queue."""
        self._listeners.discard(queue)

    # Apps

    def app(self, name: str) -> App:
        """Return an app.

        Raises:
            ApiError: 404.
        """
        if name not in self.apps:
            raise not_found(f"app {name}")
        return self.apps[name]

    def create_app(self, name: str, organization: str, network: str, role: str = "") -> App:
        """Create an app; its name must be unused."""
        if name in self.apps:
            raise ApiError(422, "Name has already been taken", "name_taken")
        app = App(
            name, organization, secrets.token_hex(8), secrets.randbelow(10**7), network, role=role
        )
        self.apps[name] = app
        self.save(app)
        return app

    def delete_app(self, name: str) -> None:
        """Delete an app and its volumes; its machines must have been destroyed."""
        for volume in list(self.volumes_of(name)):
            self.remove_volume_data(volume)
            self.store.delete("volume", volume.id)
            del self.volumes[volume.id]
        for machine in [m for m in self.machines.values() if m.app == name]:
            self.store.delete("machine", machine.id)
            del self.machines[machine.id]
        for token in [t for t in self.tokens.values() if t.app == name]:
            self.store.delete("token", token.id)
            del self.tokens[token.id]
        self.store.delete("app", name)
        del self.apps[name]

    # Secrets

    def set_secrets(self, app: App, values: dict[str, str | None]) -> None:
        """Set and unset (None) secrets together; the version changes only with a value."""
        before = {name: secret["value"] for name, secret in app.secrets.items()}
        now = timestamp()
        for name, value in values.items():
            if value is None:
                app.secrets.pop(name, None)
                continue
            old = app.secrets.get(name)
            if old is None or old["value"] != value:
                created = old["created_at"] if old else now
                app.secrets[name] = {
                    "value": value,
                    "digest": self.digest(value),
                    "created_at": created,
                    "updated_at": now,
                }
        if before != {name: secret["value"] for name, secret in app.secrets.items()}:
            app.secrets_version += 1
            app.secrets_changed_at = time.time()
        self.save(app)

    def digest(self, value: str) -> str:
        """Return a secret's digest; it is keyed, so it cannot be computed from the value alone."""
        return hmac.new(self._key, value.encode(), hashlib.sha256).hexdigest()[:16]

    def _digest_key(self) -> bytes:
        for document in self.store.all("key"):
            return bytes.fromhex(document["key"])
        key = secrets.token_bytes(32)
        self.store.put("key", "digest", {"key": key.hex()})
        return key

    # Tokens

    def create_token(
        self, name: str, organization: str, app: str, *, profile: str, expires_at: str
    ) -> tuple[Token, str]:
        """Make a token; return it with its value, which is stored nowhere."""
        # Not in the form of Fly's own tokens, which clients take apart.
        value = f"localfly_{secrets.token_urlsafe(24)}"
        key = secrets.token_hex(8)
        made = Token(key, name, organization, app, profile, _token_digest(value), expires_at)
        self.tokens[made.id] = made
        self.save(made)
        return made, value

    def revoke_token(self, token: Token) -> None:
        """Make a token invalid from now on."""
        token.revoked_at = timestamp()
        self.save(token)

    def knows_token(self, value: str) -> bool:
        """Return whether a value is that of a valid token made here."""
        digest = _token_digest(value)
        return any(t.digest == digest and t.valid for t in self.tokens.values())

    # Volumes

    def volumes_of(self, app: str) -> Iterator[Volume]:
        """Return an app's volumes, including those being destroyed."""
        return (volume for volume in self.volumes.values() if volume.app == app)

    def volume(self, app: str, key: str) -> Volume:
        """Return a volume.

        Raises:
            ApiError: 404.
        """
        volume = self.volumes.get(key)
        if volume is None or volume.app != app:
            raise not_found(f"volume {key}")
        return volume

    def create_volume_data(self, volume: Volume, source: Path | None) -> Volume:
        """Create a volume's folder with a copy of `source`, or empty without one."""
        folder = self.volume_folder(volume.id)
        if source is not None:
            copy_folder(source, folder)
        else:
            folder.mkdir(parents=True)
        return volume

    def add_volume(self, volume: Volume) -> None:
        """Register a volume after its folder was created."""
        self.volumes[volume.id] = volume
        self.save(volume)

    def volume_of(self, machine: Machine) -> Volume | None:
        """Return the volume that a machine mounts; None without one."""
        mounts = machine.config.get("mounts") or []
        return self.volumes.get(mounts[0]["volume"]) if mounts else None

    def attach_volume(self, machine: Machine) -> None:
        """Attach the volume that a machine mounts."""
        volume = self.volume_of(machine)
        if volume and volume.attached_machine_id != machine.id:
            volume.attached_machine_id = machine.id
            self.save(volume)

    def detach_volumes(self, machine: Machine) -> None:
        """Detach a machine's volumes."""
        for volume in self.volumes.values():
            if volume.attached_machine_id == machine.id:
                volume.attached_machine_id = None
                self.save(volume)

    def destroy_volume(self, volume: Volume) -> None:
        """Mark a volume as destroyed; its data stays recoverable for a day, as on Fly."""
        if volume.attached_machine_id:
            raise ApiError(409, f"volume {volume.id} is attached to {volume.attached_machine_id}")
        volume.state = "pending_destroy"
        self.save(volume)

    def remove_volume_data(self, volume: Volume) -> None:
        """Delete a volume's data and snapshots."""
        shutil.rmtree(self.volume_folder(volume.id), ignore_errors=True)
        for snapshot in volume.snapshots:
            shutil.rmtree(self.snapshot_folder(snapshot["id"]), ignore_errors=True)

    def volume_folder(self, key: str) -> Path:
        """Return the folder with a volume's data."""
        return self.home / "volumes" / key

    def snapshot_folder(self, key: str) -> Path:
        """Return the folder with a snapshot's data."""
        return self.home / "snapshots" / key

    def begin_snapshot(self, volume: Volume) -> Json:
        """Register a snapshot that is not complete yet, and return its record."""
        record: Json = {
            "id": snapshot_id(),
            "status": "running",
            "created_at": timestamp(),
            "size": 0,
            "volume_size": volume.size_gb * 1024**3,
            "digest": "",
            "retention_days": volume.snapshot_retention,
        }
        volume.snapshots.insert(0, record)
        self.save(volume)
        return record

    async def fill_snapshot(self, volume: Volume, record: Json) -> None:
        """Copy a volume into a snapshot; nothing may write to the volume meanwhile."""
        folder = self.snapshot_folder(record["id"])
        try:
            await asyncio.to_thread(copy_folder, self.volume_folder(volume.id), folder)
        except OSError:
            record.update(status="failed")
        else:
            size, digest = folder_bytes(folder), secrets.token_hex(32)
            record.update(status="created", size=size, digest=digest)
        self.save(volume)

    def tidy(self) -> None:
        """Complete or undo what a killed daemon left unfinished with volumes."""
        alive = {m.id: m for m in self.machines.values() if m.state != "destroyed"}
        for volume in self.volumes.values():
            if volume.attached_machine_id and volume.attached_machine_id not in alive:
                volume.attached_machine_id = None
                self.save(volume)
            for snapshot in volume.snapshots:
                if snapshot["status"] == "running":
                    snapshot["status"] = "failed"
                    self.save(volume)
        for machine in alive.values():
            self.attach_volume(machine)
        made = {s["id"] for v in self.volumes.values() for s in v.snapshots}
        _keep_only(self.home / "volumes", set(self.volumes))
        _keep_only(self.home / "snapshots", made)

    # Machines

    def machines_of(self, app: str) -> list[Machine]:
        """Return an app's machines except destroyed ones."""
        return [m for m in self.machines.values() if m.app == app and m.state != "destroyed"]

    def machine(self, app: str, key: str) -> Machine:
        """Return a machine, even a destroyed one.

        Raises:
            ApiError: 404.
        """
        machine = self.machines.get(key)
        if machine is None or machine.app != app:
            raise not_found(f"machine {key}")
        return machine

    def check_lease(self, machine: Machine, nonce: str) -> None:
        """Check that a machine is not leased by another client.

        Raises:
            ApiError: 409 with the lease's owner and expiry.
        """
        lease = machine.current_lease
        if lease and nonce != lease.nonce:
            until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(lease.expires_at))
            raise ApiError(
                409,
                f"machine ID {machine.id} lease currently held by {lease.owner} "
                f"({lease.description or 'no description'}), expires at {until}",
            )

    def take_lease(self, machine: Machine, ttl_s: int, description: str, nonce: str) -> Lease:
        """Take a machine's lease, or extend it with its nonce."""
        self.check_lease(machine, nonce)
        held = machine.current_lease
        if nonce and held is None:
            raise ApiError(400, "lease not found")
        lease = Lease(
            nonce=held.nonce if held else secrets.token_hex(6),
            expires_at=int(time.time() + ttl_s),
            owner="local@localfly",
            description=description or (held.description if held else ""),
            version=machine.instance_id,
        )
        machine.lease = lease.document()
        self.save(machine)
        return lease

    def drop_lease(self, machine: Machine, nonce: str) -> None:
        """Release the lease."""
        if machine.current_lease is None:
            raise not_found("lease")
        self.check_lease(machine, nonce)
        machine.lease = None
        self.save(machine)


def _token_digest(value: str) -> str:
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()


def copy_folder(source: Path, target: Path) -> None:
    """Copy files, folders and links, but not sockets and pipes."""

    def special(folder: str, names: list[str]) -> set[str]:
        paths = {name: Path(folder, name) for name in names}
        return {
            name for name, p in paths.items() if not (p.is_symlink() or p.is_dir() or p.is_file())
        }

    shutil.copytree(source, target, symlinks=True, ignore=special)


def folder_bytes(folder: Path) -> int:
    """Return the bytes of all files below a folder; files that vanish meanwhile count 0."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(parent, name)).st_size  # noqa: PTH118 - strings from os.walk, many times
    return total


def _keep_only(folder: Path, known: set[str]) -> None:
    """Delete the entries of a folder without a record."""
    for entry in folder.iterdir() if folder.is_dir() else ():
        if entry.name not in known:
            shutil.rmtree(entry, ignore_errors=True)


def _identity(record: Record) -> tuple[str, str]:
    match record:
        case App():
            return "app", record.name
        case Volume():
            return "volume", record.id
        case Machine():
            return "machine", record.id
        case Token():
            return "token", record.id
        case _:
            raise TypeError(f"{type(record).__name__} is not stored")
