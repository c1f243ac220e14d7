"""A replicated server whose Redis Roost deploys: nobody types its address, and a killed one comes back."""

from __future__ import annotations

import json

import pytest

from helpers.postgres import find_programs, postgres_server
from helpers.prefect_site import NAME
from helpers.redis_server import find_program
from helpers.replicated_site import (
    APPLY_S,
    MANAGED,
    REDIS_APP,
    SERVER_MACHINES,
    ReplicatedSite,
    schedule,
)
from helpers.roost_command import finish
from helpers.waiting import until
from roost.environment.redis import PASSWORD

PROGRAMS = find_programs()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAMS is None, reason="no PostgreSQL here: apt-get install postgresql"),
    pytest.mark.skipif(
        find_program() is None, reason="no Redis here: apt-get install redis-server"
    ),
]


@pytest.fixture
def site(tmp_path, image_cache):
    """A replicated environment on a local Fly of its own, not applied yet."""
    assert PROGRAMS is not None
    with postgres_server(PROGRAMS) as database:
        found = ReplicatedSite(tmp_path, image_cache, DATABASE_URL=database.url)
        try:
            yield found.start(**MANAGED)
        finally:
            found.daemon.clean()


def password_of(site):
    """Return the password that was generated for the Redis."""
    book = json.loads((site.daemon.home / "throwaway-secrets.json").read_text())
    return book["acme-prefect"][PASSWORD]


def pids(site):
    """Return the processes of the Redis's machine."""
    return {process.pid for process in site.processes("app-1", REDIS_APP)}


def is_good(site):
    """Return whether `status` says that the Redis is healthy; Fly asks it only now and then."""
    done = finish(site.roost.begin("status", NAME, "--local", "--json"))
    return (json.loads(done.stdout)["flows"][0]["health"] or {}).get("good")


def answered(site, path, body):
    """Return the status of the answer to a request."""
    with site.http() as http:
        return http.post(path, json=body).status_code


def test_one_apply_deploys_it_and_it_comes_back_with_what_it_held(site):
    planned = site.roost.json("plan", NAME, "--local")
    applied = site.roost.run("apply", NAME, "--local", limit_s=APPLY_S)
    again = site.roost.run("plan", NAME, "--local", "--exit-code")
    password = password_of(site)
    lines = [" ".join(each.cmdline()) for each in site.daemon.machine_processes()]
    before = schedule(site.ask, "before")
    until(before)
    first = site.ask("POST", "/v2/concurrency_limits/", {"name": "one", "limit": 1}).status_code
    lease = site.ask(
        "POST",
        "/v2/concurrency_limits/increment-with-lease",
        {"names": ["one"], "slots": 1, "mode": "concurrency", "lease_duration": 300},
    ).json()["lease_id"]
    renew = (f"/v2/concurrency_limits/leases/{lease}/renew", {"lease_duration": 300})
    killed = pids(site)
    site.kill("app-1", REDIS_APP)
    until(lambda: pids(site) and pids(site).isdisjoint(killed))
    until(lambda: answered(site, *renew) != 503)
    renewed = answered(site, *renew)
    until(schedule(site.ask, "after"))
    until(lambda: is_good(site))
    changed = {"limit_s": APPLY_S, PASSWORD: "another-password-1"}
    rotated = site.roost.run("secrets", NAME, "--set", "--local", **changed)
    until(schedule(site.ask, "with the new password"))

    assert [part["environment"] for part in planned["flows"]] == [f"{NAME}.redis"]
    assert "ok   takes writes" in applied.stderr
    assert "ok   events shared" in applied.stderr
    assert again.returncode == 0, again.stdout
    assert set(site.machines()) == set(SERVER_MACHINES)
    assert not [line for line in lines if password in line]
    assert applied.stderr.count(password) + applied.stdout.count(password) == 1, "shown once"
    assert (first, renewed) == (201, 204)
    assert rotated.stdout.index(f"{NAME}.redis: set {PASSWORD}. Proved.") < rotated.stdout.index(
        f"{NAME}: set {PASSWORD}. Proved."
    )
