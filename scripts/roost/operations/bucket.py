"""One path of a bucket of S3: its objects are listed, written, read and removed, with boto3.

Nothing but the environment file and its two keys decides where and as whom: no profile, no file in
the home folder, no other variable of AWS. A call runs in a thread, and ends soon when it is cancelled.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import boto3
import botocore.session
from anyio.lowlevel import checkpoint_if_cancelled
from boto3.exceptions import S3UploadFailedError
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from roost.errors import BucketError
from roost.errors.command import Command
from roost.secret_text import SecretText

T = TypeVar("T")
CONNECT_S, READ_S, ATTEMPTS = 10, 60, 4
PART_BYTES = 64 * 2**20
"""The size of a part of an upload, and the most that is in memory; a bucket takes 10,000 parts."""
FIRST_REGION = "us-east-1"
_CHUNK = 2**20
_DELETED_AT_ONCE = 1000
_NOWHERE = (None, None, os.devnull, None)
_HOME = {
    "profile": (None, None, None, None),
    "config_file": _NOWHERE,
    "credentials_file": _NOWHERE,
}
"""Where botocore looks for settings of a person: nowhere."""
_WRONG = {
    "InvalidAccessKeyId": "Correct the secret {access}: the id of the key is not known there.",
    "SignatureDoesNotMatch": "Correct the secret {secret}: it is not the key of that id.",
    "NoSuchBucket": "Create the bucket, or correct `url` or `endpoint` in database.backups.",
    "AccessDenied": "Let the key list, read and write below that path.",
}


@dataclass(frozen=True)
class BucketPlace:
    """A path of a bucket, and the keys of it.

    Args:
        url: s3://BUCKET/PATH.
        endpoint: where S3 is; empty for Amazon.
        region: of the bucket; empty for the first one, from which Amazon sends on.
        access: the id of the key.
        secret: the key.
        names: of the two secrets, for messages.
        environment: its name, for messages.
    """

    url: str
    endpoint: str
    region: str
    access: SecretText
    secret: SecretText
    names: tuple[str, str]
    environment: str

    @property
    def bucket(self) -> str:
        """The bucket's name."""
        return self.url.removeprefix("s3://").partition("/")[0]

    @property
    def path(self) -> str:
        """The beginning of the names of its objects, with a slash at the end."""
        return self.url.removeprefix("s3://").partition("/")[2] + "/"


@dataclass(frozen=True)
class StoredObject:
    """An object: its name below the path, its size in bytes, and when it was written."""

    name: str
    size: int
    at: datetime


class Bucket:
    """The objects below one path."""

    def __init__(self, place: BucketPlace) -> None:
        self.place = place
        self._stopped = threading.Event()
        self._made: Any = None

    async def list(self) -> tuple[StoredObject, ...]:
        """Return every object, sorted by name.

        Raises:
            BucketError: the bucket cannot be read.
        """
        return await self._run(self._list)

    async def read(self, name: str) -> bytes:
        """Return the content of a small object.

        Raises:
            BucketError: it cannot be read.
        """
        return await self._run(lambda s3: bytes(s3.get_object(**self._at(name))["Body"].read()))

    async def download(self, name: str, target: Path) -> None:
        """Write the content of an object to a file.

        Raises:
            BucketError: it cannot be read.
        """
        await self._run(lambda s3: self._download(s3, name, target))

    async def upload(self, source: Path, name: str) -> None:
        """Write an object from a file, in parts; it is there as a whole, or not at all.

        Raises:
            BucketError: it cannot be written, or is not whole there.
        """
        await self._run(lambda s3: self._upload(s3, source, name))

    async def write(self, name: str, content: bytes) -> None:
        """Write a small object.

        Raises:
            BucketError: it cannot be written.
        """
        await self._run(lambda s3: s3.put_object(**self._at(name), Body=content))

    async def remove(self, names: tuple[str, ...]) -> None:
        """Remove objects.

        Raises:
            BucketError: one cannot be removed.
        """
        await self._run(lambda s3: self._remove(s3, names))

    async def abort_uploads(self, before: datetime) -> None:
        """Remove the parts of uploads that began before a time and were killed.

        Raises:
            BucketError: the bucket does not list or remove them.
        """
        await self._run(lambda s3: self._abort_uploads(s3, before))

    def _list(self, s3: Any) -> tuple[StoredObject, ...]:
        pages = s3.get_paginator("list_objects_v2").paginate(
            Bucket=self.place.bucket, Prefix=self.place.path
        )
        found = (one for page in pages for one in page.get("Contents", ()))
        return tuple(
            StoredObject(one["Key"].removeprefix(self.place.path), one["Size"], one["LastModified"])
            for one in found
        )

    def _download(self, s3: Any, name: str, target: Path) -> None:
        body = s3.get_object(**self._at(name))["Body"]
        with target.open("wb") as file:
            for chunk in body.iter_chunks(_CHUNK):
                self._check_wanted()
                file.write(chunk)

    def _upload(self, s3: Any, source: Path, name: str) -> None:
        one_thread = TransferConfig(
            multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, use_threads=False
        )
        with _Watched(source, self._check_wanted) as file:
            s3.upload_fileobj(file, **self._at(name), Config=one_thread)
        size, sent = s3.head_object(**self._at(name))["ContentLength"], source.stat().st_size
        if size != sent:
            s3.delete_object(**self._at(name))
            raise self._error(f"of {sent} bytes {size} arrived", "")

    def _remove(self, s3: Any, names: tuple[str, ...]) -> None:
        for first in range(0, len(names), _DELETED_AT_ONCE):
            keys = [self._at(n)["Key"] for n in names[first : first + _DELETED_AT_ONCE]]
            wanted = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
            answer = s3.delete_objects(Bucket=self.place.bucket, Delete=wanted)
            for refused in answer.get("Errors", ()):
                raise self._error(
                    f"{refused.get('Key')} cannot be removed: {refused.get('Code')}",
                    str(refused.get("Code")),
                )

    def _abort_uploads(self, s3: Any, before: datetime) -> None:
        pages = s3.get_paginator("list_multipart_uploads").paginate(
            Bucket=self.place.bucket, Prefix=self.place.path
        )
        for upload in [one for page in pages for one in page.get("Uploads", ())]:
            if upload["Initiated"] < before:
                s3.abort_multipart_upload(
                    Bucket=self.place.bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                )

    def _at(self, name: str) -> dict[str, str]:
        return {"Bucket": self.place.bucket, "Key": f"{self.place.path}{name}"}

    def _client(self) -> Any:
        if self._made is None:
            place = self.place
            session = boto3.session.Session(
                aws_access_key_id=place.access.reveal(),
                aws_secret_access_key=place.secret.reveal(),
                region_name=place.region or FIRST_REGION,
                botocore_session=botocore.session.Session(session_vars=_HOME),
            )
            # Other servers of S3 know neither the host BUCKET.ENDPOINT nor Amazon's newer checksums.
            elsewhere = {"s3": {"addressing_style": "path"}} if place.endpoint else {}
            checksums = "when_required" if place.endpoint else "when_supported"
            self._made = session.client(
                "s3",
                endpoint_url=place.endpoint or None,
                config=Config(
                    connect_timeout=CONNECT_S,
                    read_timeout=READ_S,
                    retries={"mode": "standard", "max_attempts": ATTEMPTS},
                    request_checksum_calculation=checksums,
                    response_checksum_validation=checksums,
                    ignore_configured_endpoint_urls=True,
                    **elsewhere,
                ),
            )
        return self._made

    async def _run(self, work: Callable[[Any], T]) -> T:
        """Run some calls in a thread, which ends soon when this is cancelled.

        Raises:
            BucketError: one failed.
        """
        done: list[T] = []
        failed: list[Exception] = []

        def run() -> None:
            try:
                with self._explained():
                    done.append(work(self._client()))
            except Exception as error:  # noqa: BLE001 - raised below, and not as one of a group
                failed.append(error)

        async def stop_when_cancelled() -> None:
            try:
                await anyio.sleep_forever()
            finally:
                self._stopped.set()

        self._stopped.clear()
        async with anyio.create_task_group() as group:
            group.start_soon(stop_when_cancelled)
            await anyio.to_thread.run_sync(run)
            group.cancel_scope.cancel()
        await checkpoint_if_cancelled()
        if failed:
            raise failed[0]
        return done[0]

    def _check_wanted(self) -> None:
        if self._stopped.is_set():
            raise _StoppedError

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Convert any failure of the library; not chained, as its text may echo a key.

        Raises:
            BucketError: has its words without a key.
        """
        try:
            yield
        except (BotoCoreError, S3UploadFailedError, OSError) as error:
            raise self._error(str(error), "") from None
        except ClientError as error:
            found = error.response.get("Error", {})
            code = str(found.get("Code", ""))
            raise self._error(f"{code}: {found.get('Message', '')}", code) from None

    def _error(self, words: str, code: str) -> BucketError:
        place = self.place
        shown = " ".join(place.secret.redact(place.access.redact(words)).split()).rstrip(".: ")
        access, secret = place.names
        advice = _WRONG.get(code, "").format(access=access, secret=secret)
        where = f"{place.url} at {place.endpoint}" if place.endpoint else place.url
        return BucketError(
            f"The bucket {where} cannot be used: {shown[:300]}.",
            where=place.environment,
            advice=advice
            or f"Correct that, then run this again: {Command('backup', place.environment)}",
        )


class _StoppedError(Exception):
    """Nobody wants the result any more; it ends a thread and is never shown."""


class _Watched(io.FileIO):
    """A file whose reading ends with an error once nobody wants it any more."""

    def __init__(self, path: Path, check: Callable[[], None]) -> None:
        super().__init__(path, "rb")
        self._check = check

    def read(self, size: int | None = -1) -> bytes:
        self._check()
        return super().read(-1 if size is None else size) or b""
