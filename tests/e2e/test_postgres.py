"""Two machines of one environment on one PostgreSQL: one server to whoever uses it."""

from __future__ import annotations

import pytest

from helpers.postgres import find_programs, postgres_server
from helpers.prefect_site import APP, PrefectSite
from roost.environment.model import AUTH_SECRET

PROGRAMS = find_programs()
URL_SECRET = "DATABASE_URL"
FIELDS = {
    "database": {"backend": "postgres", "url_secret": URL_SECRET},
    "secrets": [AUTH_SECRET, URL_SECRET],
    "scaling": {"count": 2, "idle_after": "1h"},
}

pytestmark = pytest.mark.skipif(
    PROGRAMS is None, reason="no PostgreSQL here: apt-get install postgresql"
)


@pytest.fixture
def site(tmp_path, image_cache, image):  # noqa: ARG001 - the image must be there
    """An environment on a PostgreSQL of its own, not applied yet; gives it with the database."""
    found = PrefectSite(tmp_path, image_cache)
    assert PROGRAMS is not None
    with postgres_server(PROGRAMS) as database:
        try:
            found.roost.env[URL_SECRET] = database.url
            yield found.start(**FIELDS), database
        finally:
            found.daemon.clean()


@pytest.mark.slow
def test_what_one_machine_writes_the_other_reads_and_a_second_apply_changes_nothing(site):
    site, database = site

    applied = site.roost.run("apply", "demo", "--local")
    again = site.roost.run("apply", "demo", "--local", "--json")

    first, second = (machine["id"] for machine in site.daemon.call("GET", f"{APP}/machines"))
    flow = through(site, first, "POST", "/flows/", {"name": "both"})["id"]
    wanted = {"flow_id": flow, "state": {"type": "SCHEDULED"}}
    run = through(site, first, "POST", "/flow_runs/", wanted)["id"]
    assert through(site, second, "GET", f"/flow_runs/{run}")["state"]["type"] == "SCHEDULED"
    assert '"steps": []' in again.stdout
    said = applied.stdout + applied.stderr + again.stdout + again.stderr
    logs = "".join(path.read_text() for path in (site.daemon.home / "logs").rglob("*.log"))
    assert "ok   flow run" in applied.stderr
    assert database.password not in said + logs
    assert site.daemon.call("GET", f"{APP}/volumes") == []


def through(site, machine, verb, path, body=None):
    """Ask one of the machines, as Fly's header chooses it."""
    with site.http() as http:
        headers = {"fly-force-instance-id": machine}
        answer = http.request(verb, path, json=body, headers=headers)
    assert answer.is_success, (machine, answer.status_code, answer.text)
    return answer.json()
