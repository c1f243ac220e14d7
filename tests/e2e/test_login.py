"""Who is let in."""

from __future__ import annotations

import pytest

from helpers.prefect_site import LOGIN


@pytest.mark.parametrize(
    ("login", "status"),
    [("", 401), ("admin:wrong", 401), ("admin:", 401), (LOGIN, 200)],
    ids=["nobody", "wrong", "empty", "right"],
)
@pytest.mark.parametrize(("verb", "path"), [("GET", "/admin/version"), ("POST", "/flows/filter")])
def test_only_who_knows_the_secret_is_let_in(site, login, status, verb, path):
    with site.http(login) as http:
        assert http.request(verb, path, json={}).status_code == status


def test_health_is_told_to_anybody(site):
    with site.http("") as http:
        assert http.get("/health").json() is True
