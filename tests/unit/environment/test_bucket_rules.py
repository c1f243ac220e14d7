"""The section `database.backups`: its short form, its keys, and what cannot work in it."""

from __future__ import annotations

import pytest

from helpers.environments import POSTGRES, environment_file
from roost.environment.bucket import BUCKET_SECRETS
from roost.environment.bucket_rules import BUCKET_RULES
from roost.environment.rules import findings

URL = "s3://acme-backups/prefect/staging"


def environment(backups, **other):
    """Return an environment on Postgres with this section."""
    database = {**POSTGRES["database"], "backups": backups}
    return environment_file(**{**POSTGRES, "database": database, **other}).environment


def faults(backups, **other):
    """Return the faults that the rules of the section find, each with its place."""
    found = findings(environment(backups, **other), BUCKET_RULES)
    return [(".".join(map(str, place)), message) for place, message in found]


def test_a_url_is_enough_and_its_keys_are_no_secrets_of_the_server():
    found = environment(URL)

    assert found.backups.url == URL
    assert found.backups.keep_days == 30
    assert [secret.name for _, secret in found.bucket_keys] == [*BUCKET_SECRETS]
    assert not {*BUCKET_SECRETS} & {secret.name for _, secret in found.server_secrets}
    assert {*BUCKET_SECRETS} < {secret.name for _, secret in found.all_secrets}
    assert faults(URL) == []


@pytest.mark.parametrize(
    ("changed", "place", "words"),
    [
        ({"endpoint": "http://s3.acme.com"}, "endpoint", "unencrypted"),
        ({"access_key": "BUCKET", "secret_key": "BUCKET"}, "secret_key", "is the id"),
        (
            {"secret_key": {"name": "KEY", "from": {"env": "FLY_API_TOKEN"}}},
            "secret_key.from.env",
            "is no key of the bucket",
        ),
        (
            {"secret_key": {"name": "KEY", "from": {"env": "AWS_SECRET_ACCESS_KEY"}}},
            "secret_key.from.env",
            "a cloud login of the job",
        ),
    ],
)
def test_what_cannot_work_is_named_with_its_place(changed, place, words):
    [(where, message)] = faults({"url": URL, **changed})

    assert where == f"database.backups.{place}"
    assert words in message


@pytest.mark.parametrize("endpoint", ["https://s3.acme.com", "http://127.0.0.1:9000", None])
def test_an_endpoint_may_be_encrypted_or_of_a_private_network(endpoint):
    assert faults({"url": URL, "endpoint": endpoint}) == []


def test_a_key_that_is_a_secret_of_the_server_too_has_the_same_source():
    other = {"name": "KEY", "from": {"env": "ACME_KEY"}}
    secrets = [*POSTGRES["secrets"], other]

    assert faults({"url": URL, "secret_key": other}, secrets=secrets) == []
    [(where, message)] = faults({"url": URL, "secret_key": "KEY"}, secrets=secrets)
    assert where == "database.backups.secret_key"
    assert "has another source under secrets" in message
