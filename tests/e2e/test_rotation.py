"""A new password for a real server: asleep it is not woken for that, awake it is proved."""

from __future__ import annotations

import pytest

from helpers.prefect_site import LOGIN, NAME
from roost.environment.model import AUTH_SECRET

pytestmark = pytest.mark.slow

OTHER = "admin:another"
APPLY = ("apply", NAME, "--local")


def status_with(site, login):
    with site.http(login) as http:
        return http.get("/admin/version").status_code


def test_a_new_password_is_in_force_at_the_next_wake_and_the_old_one_no_more(site):
    """Resumed from memory the server would still let the old one in."""
    site.wake()
    site.rest("suspend", "suspended")
    mark = site.newest_event()
    try:
        site.roost.run(*APPLY, **{AUTH_SECRET: OTHER})
        assert site.state == "stopped"
        assert "start/started/proxy" not in site.events_after(mark)

        assert (status_with(site, LOGIN), status_with(site, OTHER)) == (401, 200)
    finally:  # the other tests log in with it
        back = site.roost.run(*APPLY)
    assert (status_with(site, LOGIN), status_with(site, OTHER)) == (200, 401)
    assert f"set the secrets {AUTH_SECRET} (its value changed, from " in back.stderr
    assert site.roost.json("plan", NAME, "--local")["steps"] == []
