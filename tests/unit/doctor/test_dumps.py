"""The age of the newest dump in a bucket: fine, old, none, or not known here."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from helpers.environments import POSTGRES, environment_file
from roost.doctor import dumps
from roost.doctor.check import State
from roost.doctor.dumps import dump_checks
from roost.errors import BucketError, MissingSecretError
from roost.operations.dumps import Dump

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
URL = "s3://acme-backups/prefect"
FILE = environment_file({**POSTGRES, "database": {**POSTGRES["database"], "backups": URL}})


def dump(hours):
    at = (NOW - timedelta(hours=hours)).isoformat()
    return Dump("staging.dump", at, 9, "0" * 64, 17, "17", "public", "public", {"flow_run": 5})


async def checked(monkeypatch, found, file=FILE):
    """Return the checks where the bucket has these dumps, or fails so."""

    async def listed():
        if isinstance(found, Exception):
            raise found
        return found

    store = SimpleNamespace(where=URL, dumps=listed)
    monkeypatch.setattr(dumps, "store_of", lambda *_: store)
    return [check async for check in dump_checks(None, file, NOW)]


@pytest.mark.parametrize(
    ("found", "state", "words"),
    [
        ((dump(5), dump(90)), State.OK, "of 2026-12-01 07:00, is 5 hours old: 5 rows"),
        ((dump(49),), State.MISSING, "is 49 hours old"),
        ((), State.MISSING, f"there is no dump in {URL}"),
        (BucketError("no such bucket", advice="create it"), State.MISSING, "no such bucket"),
        (MissingSecretError("no value for X"), State.UNKNOWN, "were not looked at: no value"),
    ],
)
async def test_the_newest_dump_has_an_age(monkeypatch, found, state, words):
    [check] = await checked(monkeypatch, found)

    assert check.state is state
    assert words in check.what


async def test_without_a_bucket_nothing_is_checked(monkeypatch):
    assert await checked(monkeypatch, (), environment_file(POSTGRES)) == []
