"""Dumps in a bucket: whole or not there, kept for some days, and a bucket that refuses is explained."""

from __future__ import annotations

import hashlib
import os
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import anyio
import pytest
from botocore.exceptions import ClientError

from helpers.bucket import KEYS, NAME
from helpers.bucket import Bucket as BucketServer
from roost.errors import BucketError
from roost.operations import bucket as client
from roost.operations.bucket import Bucket, BucketPlace
from roost.operations.dump_bucket import DumpBucket
from roost.operations.dumps import DOCUMENT, Dump, document_of
from roost.secret_text import SecretText

pytestmark = pytest.mark.anyio
NOW = datetime(2020, 1, 1, tzinfo=UTC)
"""Before the bucket wrote anything: by its own clock, nothing is a day old."""
LATER = datetime(9000, 1, 1, tzinfo=UTC)
STAMP = "%Y%m%dT%H%M%SZ"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server of S3 with one bucket."""
    found = BucketServer(tmp_path_factory.mktemp("bucket"))
    yield found
    found.close()


@pytest.fixture
def store(server, request, tmp_path):
    """Dumps of `staging` in a path of the test's own, with the lines that were told in `said`."""
    said: list[str] = []
    found = DumpBucket(Bucket(place(server, request.node.name)), tmp_path, 30, said.append)
    object.__setattr__(found, "said", said)
    return found


def place(server, path, **changed):
    access, secret = (SecretText(value) for value in KEYS.values())
    path = "".join(c if c.isalnum() else "-" for c in path)
    url = f"s3://{NAME}/{path}"
    found = BucketPlace(url, server.endpoint, "", access, secret, tuple(KEYS), "staging")
    return replace(found, **changed)


def dump_of(content, at):
    name = f"staging-{at.strftime(STAMP)}.dump"
    digest = hashlib.sha256(content).hexdigest()
    made = at.isoformat(timespec="seconds")
    return Dump(name, made, len(content), digest, 17, "17.1", "public", "public", {"flow_run": 3})


async def kept(store, content=b"rows", at=NOW):
    """Keep a dump, and return it."""
    part = store.folder / "part"
    part.write_bytes(content)
    dump = dump_of(content, at)
    assert await store.keep(part, dump) == f"{store.where}/{dump.name}"
    part.unlink()
    return dump


def names(server, store):
    """Return the names of the objects in the store's path."""
    path = store.bucket.place.path
    return sorted(name.removeprefix(path) for name in server.objects(path.rstrip("/")))


async def test_a_dump_comes_back_as_it_was_kept_the_newest_first(store):
    older = await kept(store, b"1", NOW - timedelta(hours=1))
    newer = await kept(store, b"2")

    assert await store.dumps() == (newer, older)
    async with store.fetched(older) as path:
        assert path.read_bytes() == b"1"
        assert oct(path.stat().st_mode)[-3:] == "600"
    assert list(store.folder.iterdir()) == []


async def test_a_dump_of_several_parts_is_whole(store, monkeypatch):
    monkeypatch.setattr(client, "PART_BYTES", 5 * 2**20)
    content = os.urandom(11 * 2**20)

    dump = await kept(store, content)

    async with store.fetched(dump) as path:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == dump.sha256


async def test_half_a_dump_another_s_object_and_another_environment_are_no_dumps(store):
    dump = await kept(store)
    eu = f"staging-eu-{NOW.strftime(STAMP)}.dump"
    for name in (eu, f"deeper/{dump.name}"):
        await store.bucket.write(name, b"rows")
        await store.bucket.write(f"{name}{DOCUMENT}", document_of(dump).encode())
    other = dump_of(b"rows", NOW - timedelta(days=3))
    await store.bucket.write(other.name, b"ro")  # shorter than its document says
    await store.bucket.write(f"{other.name}{DOCUMENT}", document_of(other).encode())
    await store.bucket.write(dump_of(b"", NOW - timedelta(days=2)).name, b"without a document")

    assert await store.dumps() == (dump,)


async def test_old_dumps_go_but_never_the_newest_nor_what_is_somebody_else_s(store, server):
    await kept(store, at=NOW - timedelta(days=90))
    newest = await kept(store, at=NOW - timedelta(days=60))
    await store.bucket.write("notes.txt", b"mine")
    killed = dump_of(b"", NOW - timedelta(days=2)).name
    await store.bucket.write(killed, b"half")

    assert await replace(store, keep_days=None).prune(NOW) == ()
    removed = await store.prune(NOW)

    assert [name[:16] for name in removed] == [
        f"staging-{(NOW - timedelta(days=90)).strftime('%Y%m%d')}"
    ]
    # What a killed backup left is younger than a day in the bucket, whatever its name says.
    wanted = sorted([newest.name, f"{newest.name}{DOCUMENT}", "notes.txt", killed])
    assert names(server, store) == wanted
    await store.prune(LATER)
    assert names(server, store) == [name for name in wanted if name != killed]


async def test_the_parts_of_a_killed_upload_go_after_a_day(store):
    s3, path = store.bucket._client(), store.bucket.place.path
    upload = s3.create_multipart_upload(Bucket=NAME, Key=f"{path}staging-x.dump")["UploadId"]
    [began] = [
        one["Initiated"] for one in uploads(store)
    ]  # the same for all of them in this server
    await kept(store)

    await store.bucket.abort_uploads(began)
    assert [one["UploadId"] for one in uploads(store)] == [upload]
    await store.prune(NOW)
    assert uploads(store) == []


def uploads(store):
    """Return the uploads that are not whole."""
    s3, path = store.bucket._client(), store.bucket.place.path
    return s3.list_multipart_uploads(Bucket=NAME, Prefix=path).get("Uploads", [])


async def test_a_key_that_may_not_remove_keeps_the_backup_and_says_so(store, monkeypatch):
    await kept(store, at=NOW - timedelta(days=90))
    await kept(store)

    def refuse(*_):
        answer = {"Error": {"Code": "AccessDenied", "Message": "no"}}
        raise ClientError(answer, "DeleteObjects")

    monkeypatch.setattr(Bucket, "_remove", refuse)

    assert await store.prune(NOW) == ()
    assert "old dumps stay" in store.said[-1]
    assert "AccessDenied: no" in store.said[-1]


@pytest.mark.parametrize(
    ("changed", "words", "advice"),
    [
        ({"url": "s3://nobodys-bucket/x"}, "NoSuchBucket", "Create the bucket"),
        ({"endpoint": "http://127.0.0.1:9"}, "Could not connect", "backup staging"),
    ],
)
async def test_a_bucket_that_refuses_is_explained_without_its_keys(
    server, monkeypatch, changed, words, advice
):
    monkeypatch.setattr(client, "ATTEMPTS", 1)
    bucket = Bucket(place(server, "x", **changed))

    with pytest.raises(BucketError) as failed:
        await bucket.list()

    assert words in failed.value.what
    assert advice in str(failed.value.advice)
    assert not any(value in f"{failed.value!r}{failed.value}" for value in KEYS.values())
    assert not any(value in repr(bucket.place) for value in KEYS.values())


async def test_a_person_s_own_settings_of_aws_decide_nothing(store, monkeypatch, tmp_path):
    config = tmp_path / "config"
    config.write_text("[profile other]\nregion = mars-1\nendpoint_url = http://127.0.0.1:9\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_PROFILE", "missing")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "another")

    assert await store.dumps() == ()


async def test_a_cancelled_upload_ends_soon_and_leaves_no_object(store, server, monkeypatch):
    monkeypatch.setattr(client, "PART_BYTES", 5 * 2**20)
    monkeypatch.setattr(client, "READ_S", 30)
    part = store.folder / "part"
    part.write_bytes(bytes(40 * 2**20))
    reading, go_on = threading.Event(), threading.Event()
    read = client._Watched.read

    def slow(self, size=-1):
        reading.set()
        go_on.wait(30)
        return read(self, size)

    monkeypatch.setattr(client._Watched, "read", slow)
    async with anyio.create_task_group() as group:
        group.start_soon(store.keep, part, dump_of(part.read_bytes(), NOW))
        await anyio.to_thread.run_sync(reading.wait)
        group.cancel_scope.cancel()
        # The thread is released by a timer of its own, as nothing here runs any more.
        threading.Timer(0.2, go_on.set).start()

    assert names(server, store) == []
    assert uploads(store) == []
