"""The dumps of a Postgres in a bucket: each an object with a document beside it, which comes last."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from roost.apply.secret_values import check_usable, require
from roost.environment.load import EnvironmentFile
from roost.errors import BucketError
from roost.fly.leases import Notice
from roost.operations.bucket import Bucket, BucketPlace, StoredObject
from roost.operations.context import Context
from roost.operations.dumps import (
    DOCUMENT,
    STALE_S,
    SUFFIX,
    Dump,
    DumpFolder,
    DumpStore,
    begin_part,
    document_of,
    dump_folder,
    read_document,
)
from roost.operations.secret_sources import bucket_values


@dataclass(frozen=True)
class DumpBucket:
    """The dumps of one environment in its path of a bucket.

    Args:
        bucket: the path.
        folder: where a dump is a file while it is restored.
        keep_days: how long a dump is kept; None for ever.
        notice: called with a line before each step.
    """

    bucket: Bucket
    folder: Path
    keep_days: int | None
    notice: Notice

    @property
    def where(self) -> str:
        """The path."""
        return self.bucket.place.url

    async def dumps(self) -> tuple[Dump, ...]:
        """Return the whole dumps, the newest first."""
        there = await self._objects()
        found = []
        for name in there:
            if name.endswith(SUFFIX) and f"{name}{DOCUMENT}" in there:
                dump = read_document(name, await self.bucket.read(f"{name}{DOCUMENT}"))
                if dump is not None and dump.size == there[name].size:
                    found.append(dump)
        return tuple(sorted(found, key=lambda dump: dump.at, reverse=True))

    async def _objects(self) -> dict[str, StoredObject]:
        """Return the objects with the names of this environment's dumps and documents.

        Any other name is somebody else's, and could lead a download out of its folder.
        """
        name = re.escape(self.bucket.place.environment)
        ours = re.compile(rf"{name}-\d{{8}}T\d{{6}}Z{SUFFIX}({DOCUMENT})?", re.ASCII)
        return {one.name: one for one in await self.bucket.list() if ours.fullmatch(one.name)}

    async def keep(self, part: Path, dump: Dump) -> str:
        """Upload a checked file; the document comes last, so that it means that both are there."""
        self.notice(f"upload {dump.name} to {self.where}")
        await self.bucket.upload(part, dump.name)
        await self.bucket.write(f"{dump.name}{DOCUMENT}", document_of(dump).encode())
        return f"{self.where}/{dump.name}"

    @asynccontextmanager
    async def fetched(self, dump: Dump) -> AsyncIterator[Path]:
        """Yield the path of a file with the dump, which is removed at the end."""
        self.notice(f"download {dump.name} from {self.where}")
        path = begin_part(self.folder, dump.name, self.bucket.place.environment)
        try:
            await self.bucket.download(dump.name, path)
            yield path
        finally:
            path.unlink(missing_ok=True)

    async def prune(self, now: datetime) -> tuple[str, ...]:
        """Remove dumps that are older than `keep_days`, never the newest, and return their names.

        What killed backups left goes, too, after a day. A key that may not remove anything leaves it all.
        """
        if self.keep_days is None:
            return ()
        oldest = (now - timedelta(days=self.keep_days)).isoformat(timespec="seconds")
        killed_before = now - timedelta(seconds=STALE_S)
        try:
            there, whole = await self._objects(), await self.dumps()
            old = tuple(dump.name for dump in whole[1:] if dump.at < oldest)
            # A dump is uploaded before its document: one of a killed backup has none.
            killed = tuple(
                name
                for name, one in there.items()
                if name.endswith(SUFFIX)
                and f"{name}{DOCUMENT}" not in there
                and one.at < killed_before
            )
            # The document goes first, so that half a removal leaves no dump that looks whole.
            await self.bucket.remove(tuple(f"{name}{DOCUMENT}" for name in old))
            await self.bucket.remove((*old, *killed))
            await self.bucket.abort_uploads(killed_before)
        except BucketError as error:
            self.notice(f"old dumps stay: {error.what}")
            return ()
        return old


def store_of(context: Context, file: EnvironmentFile, notice: Notice) -> DumpStore:
    """Return where an environment's dumps are: the bucket of its file, or a folder of this computer.

    Raises:
        MissingSecretError: no source has a key of the bucket.
        UnusableSecretError: a key cannot work.
    """
    folder, kept = dump_folder(context, file.name), file.environment.backups
    if kept is None:
        return DumpFolder(folder)
    values = bucket_values(context, file)
    check_usable(values)
    names = (kept.access_key.name, kept.secret_key.name)
    require(names, values)
    access, secret = (values.found[name] for name in names)
    endpoint, region = kept.endpoint or "", kept.region or ""
    place = BucketPlace(kept.url, endpoint, region, access, secret, names, file.name)
    return DumpBucket(Bucket(place), folder, kept.keep_days, notice)
