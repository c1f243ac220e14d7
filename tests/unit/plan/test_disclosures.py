"""A plan says in words whose code gets the secrets, and where the whole database is copied."""

from __future__ import annotations

import pytest

from helpers.environments import environment_file
from helpers.pretend_fly import applied
from roost.environment.bucket import BUCKET_SECRETS
from roost.environment.model import AUTH_SECRET
from roost.plan.desired_state import desired_state
from roost.plan.diff import diff
from roost.plan.live import Live

OURS = "registry.fly.io/acme-prefect:prefect-3.8.8-0123456789ab"
FOREIGN = "docker.io/acme/prefect:latest"


def desired(image=OURS, **fields):
    return desired_state(environment_file(**fields), image)


def warnings(before, after):
    return diff(after, applied(before) if before else Live()).warnings


@pytest.mark.parametrize(
    "image",
    [
        FOREIGN,
        "registry.fly.io/somebody-else:prefect-3.8.8-0123456789ab",
        "registry.fly.io/acme-prefect:mine",
    ],
)
@pytest.mark.parametrize("before", [None, desired()], ids=["a new server", "another image"])
def test_an_image_that_roost_does_not_build_is_named_where_it_comes(before, image):
    assert warnings(before, desired(image)) == (
        (
            f"The image {image} is not one that Roost builds. It receives the login and every "
            "secret of this server."
        ),
    )


@pytest.mark.parametrize("before", [None, desired()])
def test_an_image_of_ours_is_not(before):
    assert (
        warnings(before, desired("registry.fly.io/acme-prefect:prefect-3.8.8-ba9876543210")) == ()
    )


def test_an_image_that_is_there_already_is_not_named_again():
    later = desired(FOREIGN, machine={"memory_mb": 1024})

    assert warnings(desired(FOREIGN), later) == ()


def copied(**replicate):
    database = {"backend": "sqlite", "replicate": {"url": "s3://acme/prefect", **replicate}}
    return desired(database=database, secrets=[AUTH_SECRET, *BUCKET_SECRETS])


@pytest.mark.parametrize("before", [None, desired(secrets=[AUTH_SECRET, *BUCKET_SECRETS])])
def test_where_the_database_is_copied_to_is_said_where_that_begins(before):
    after = copied(endpoint="https://s3.example.com")

    assert warnings(before, copied()) == (
        "The whole database is copied to s3://acme/prefect at Amazon S3.",
    )
    assert warnings(before, after) == (
        "The whole database is copied to s3://acme/prefect at https://s3.example.com.",
    )


def test_another_endpoint_for_the_same_bucket_is_another_place():
    after = copied(endpoint="https://s3.example.com")

    assert len(warnings(copied(), after)) == 1
    assert len(warnings(after, copied())) == 1
    assert warnings(after, after) == ()
