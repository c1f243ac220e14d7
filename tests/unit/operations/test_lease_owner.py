"""What others read who find a lease taken: who, since when and why."""

from __future__ import annotations

import re

import pytest

from roost.operations.lease_owner import LONGEST, lease_description

SINCE = r", since \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
ADA = {"GITHUB_ACTOR": "ada", "USER": "runner"}
RUN = {
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "acme/prefect",
    "GITHUB_RUN_ID": "7",
}


@pytest.mark.parametrize(
    ("environ", "why", "told"),
    [
        ({"USER": "ben"}, "", "roost apply by ben"),
        (ADA, "demo", "roost apply by ada (demo)"),
        (ADA | RUN, "", "roost apply by ada (https://github.com/acme/prefect/actions/runs/7)"),
        (ADA | RUN, "demo", "roost apply by ada (demo)"),
        ({"USER": "a\x1b[2Jb"}, "", r"roost apply by a\x1b[2Jb"),
    ],
)
def test_it_says_who_since_when_and_why(environ, why, told):
    assert re.fullmatch(re.escape(told) + SINCE, lease_description("apply", environ, why))


def test_it_is_short_and_says_since_when_whatever_the_reason():
    found = lease_description("scale", ADA, "x" * 1000)

    assert len(found) == LONGEST
    assert re.search(SINCE + "$", found)
