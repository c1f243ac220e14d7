"""On the local Fly an environment keeps everything but what reaches out of this computer.

In a rehearsal, where anybody's change is tried, nothing of this computer reaches it either.
"""

from __future__ import annotations

import pytest

from helpers.environments import POSTGRES, environment_file
from roost.environment.bucket import BUCKET_SECRETS
from roost.environment.model import AUTH_SECRET
from roost.environment.rehearsal import NO_VALUE, confined, rehearsed, unplayable
from roost.environment.scale import scale_faults


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


@pytest.mark.parametrize("tried", [rehearsed, confined])
def test_what_is_tried_can_be_scaled_though_no_file_could_say_what_it_is(tried):
    """Without its copy the bucket's keys would be a fault of the file; nobody wrote that file."""
    environment = tried(copied_to("s3://bucket/path")).environment

    assert scale_faults(environment, {"memory_mb": 1024}) == ()
    [(fields, message)] = scale_faults(environment, {"count": 2})
    assert fields == ("count",)
    assert message.startswith("SQLite serves one machine")


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


@pytest.mark.parametrize(
    "replicate",
    ["s3://bucket/path", {"url": "s3://bucket/path", "endpoint": "http://127.0.0.1:9000"}],
)
def test_a_confined_one_is_copied_nowhere_and_its_secrets_come_from_nowhere(replicate):
    file = copied_to(replicate)

    found = confined(file)

    assert found.environment.database.replicate is None
    assert found.environment.database.volume_gb == 3
    assert [secret.name for secret in found.environment.secrets] == [AUTH_SECRET, *BUCKET_SECRETS]
    assert {secret.source.env for secret in found.environment.secrets} == {NO_VALUE}
    assert file.environment.secrets[0].source.env == AUTH_SECRET


def test_a_confined_one_does_not_open_a_sops_file():
    secret = {"name": "HOOK", "from": {"sops": "secrets.sops.yaml"}}

    found = confined(environment_file(secrets=[AUTH_SECRET, secret]))

    assert not any(secret.source.sops for secret in found.environment.secrets)


def test_what_has_its_database_elsewhere_cannot_be_played():
    assert unplayable(environment_file(POSTGRES), 2**20).word == "database-elsewhere"


def test_what_is_larger_than_this_computer_cannot_be_played():
    file = environment_file(machine={"memory_mb": 1024})

    assert unplayable(file, 1024) is None
    found = unplayable(file, 1023)
    assert found.word == "larger-than-here"
    assert "1024 MB and this computer 1023 MB" in found.why
