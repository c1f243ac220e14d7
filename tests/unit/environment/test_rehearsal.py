"""On the local Fly an environment keeps everything but what reaches out of this computer."""

from __future__ import annotations

import pytest

from helpers.environments import POSTGRES, environment_file
from roost.environment.model import AUTH_SECRET, BUCKET_SECRETS
from roost.environment.rehearsal import rehearsed


def copied_to(replicate):
    """An environment whose database is copied to a place."""
    database = {"backend": "sqlite", "volume_gb": 3, "replicate": replicate}
    return environment_file(database=database, secrets=[AUTH_SECRET, *BUCKET_SECRETS])


@pytest.mark.parametrize(
    "replicate",
    [
        "s3://bucket/path",
        {"url": "s3://bucket/path", "endpoint": "https://fly.storage.tigris.dev"},
        {"url": "s3://bucket/path", "endpoint": "http://minio.internal:9000"},
        {"url": "s3://bucket/path", "endpoint": "https://localhost.example.com"},
    ],
)
def test_a_copy_goes_to_no_bucket_that_the_real_server_writes_to(replicate):
    file = copied_to(replicate)

    found = rehearsed(file)

    assert found.environment.database.replicate is None
    assert found.environment.database.volume_gb == 3
    assert found.environment.secrets == file.environment.secrets
    assert (found.name, found.path) == (file.name, file.path)


@pytest.mark.parametrize(
    "file",
    [
        environment_file(),
        environment_file(POSTGRES),
        copied_to({"url": "s3://bucket/path", "endpoint": "http://127.0.0.1:9000"}),
    ],
    ids=["no copy", "postgres", "a bucket of this computer"],
)
def test_all_else_stays_as_it_is(file):
    assert rehearsed(file) is file
