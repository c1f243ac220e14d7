"""An environment on a PostgreSQL of its own: proved, kept, and no second apply changes it."""

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
    "scaling": {"idle_after": "1h"},
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
def test_what_a_machine_writes_its_successor_reads_and_a_second_apply_changes_nothing(site):
    site, database = site

    applied = site.roost.run("apply", "demo", "--local")
    again = site.roost.run("apply", "demo", "--local", "--json")
    flow = ask(site, "POST", "/flows/", {"name": "kept"})["id"]
    wanted = {"flow_id": flow, "state": {"type": "SCHEDULED"}}
    run = ask(site, "POST", "/flow_runs/", wanted)["id"]
    site.write(**FIELDS, machine={"memory_mb": 1024})
    larger = site.roost.run("apply", "demo", "--local")

    assert ask(site, "GET", f"/flow_runs/{run}")["state"]["type"] == "SCHEDULED"
    assert '"steps": []' in again.stdout
    said = "".join(done.stdout + done.stderr for done in (applied, again, larger))
    logs = "".join(path.read_text() for path in (site.daemon.home / "logs").rglob("*.log"))
    assert "ok   flow run" in applied.stderr
    assert database.password not in said + logs
    assert site.daemon.call("GET", f"{APP}/volumes") == []


def ask(site, verb, path, body=None):
    """Ask the server."""
    with site.http() as http:
        answer = http.request(verb, path, json=body)
    assert answer.is_success, (answer.status_code, answer.text)
    return answer.json()
