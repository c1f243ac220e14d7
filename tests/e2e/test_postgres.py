"""An environment on a PostgreSQL of its own: proved, kept, and no second apply changes it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
import yaml

from helpers.postgres import find_programs, postgres_server
from helpers.prefect_site import APP, PrefectSite
from helpers.roost_command import RoostCommand
from roost.environment.model import AUTH_SECRET

PROGRAMS = find_programs()
URL_SECRET = "DATABASE_URL"
# As the documentation has it.
PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
[EXAMPLE] = re.findall(r"```yaml\n(database: {backend: postgres.*?)```", PAGE, re.DOTALL)
FIELDS = {**yaml.safe_load(EXAMPLE), "scaling": {"idle_after": "1h"}}

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


def test_the_example_of_the_documentation_is_valid(tmp_path):
    roost = RoostCommand(tmp_path, tmp_path)
    roost.write("demo", **FIELDS)

    assert set(FIELDS["secrets"]) == {AUTH_SECRET, URL_SECRET}
    assert "fault" not in roost.run("validate", str(roost.environments)).stderr


@pytest.mark.slow
def test_what_a_machine_writes_its_successor_reads_and_what_does_not_work_never_takes_its_place(
    site,
):
    site, database = site

    applied = site.roost.run("apply", "demo", "--local")
    again = site.roost.run("apply", "demo", "--local", "--json")
    flow = ask(site, "POST", "/flows/", {"name": "kept"})["id"]
    wanted = {"flow_id": flow, "state": {"type": "SCHEDULED"}}
    run = ask(site, "POST", "/flow_runs/", wanted)["id"]
    site.write(**FIELDS, machine={"memory_mb": 1024})
    larger = site.roost.run("apply", "demo", "--local")

    machines = site.daemon.call("GET", f"{APP}/machines")
    wrong = site.roost.run(
        "apply", "demo", "--local", expect=3, **{URL_SECRET: f"{database.url}-2"}
    )

    assert "the server has no database of the name that stands after the host" in wrong.stderr
    assert "The live server was not touched" in wrong.stderr
    found = site.daemon.call("GET", f"{APP}/machines")
    assert [m["instance_id"] for m in found] == [m["instance_id"] for m in machines]
    secrets = site.daemon.call("GET", f"{APP}/secrets")["secrets"]
    assert {secret["name"] for secret in secrets} == {AUTH_SECRET, URL_SECRET}
    assert ask(site, "GET", f"/flow_runs/{run}")["state"]["type"] == "SCHEDULED"
    assert '"steps": []' in again.stdout
    said = "".join(done.stdout + done.stderr for done in (applied, again, larger, wrong))
    logs = "".join(path.read_text() for path in (site.daemon.home / "logs").rglob("*.log"))
    assert "ok   flow run" in applied.stderr
    assert database.password not in said + logs
    assert site.daemon.call("GET", f"{APP}/volumes") == []
    restore_and_change_over(site, database, run)


def restore_and_change_over(site, database, run):
    """Restore a dump of real rows beside the database, delete a run, and let the server change over."""
    programs = f"{PROGRAMS}:{os.environ['PATH']}"
    elsewhere = {"ROOST_BACKUPS": str(site.daemon.home.parent / "dumps"), "PATH": programs}
    site.roost.run("backup", "demo", **elsewhere)
    restored = json.loads(site.roost.run("restore", "demo", "--json", **elsewhere).stdout)
    with site.http() as http:
        assert http.delete(f"/flow_runs/{run}").status_code == 204
    url = f"{database.url.removesuffix('postgres')}{restored['database']}"

    applied = site.roost.run("apply", "demo", "--local", **{URL_SECRET: url})

    assert "ok   flow run" in applied.stderr
    assert ask(site, "GET", f"/flow_runs/{run}")["state"]["type"] == "SCHEDULED"
    assert restored["rows"]["flow_run"] >= 1


def ask(site, verb, path, body=None):
    """Ask the server."""
    with site.http() as http:
        answer = http.request(verb, path, json=body)
    assert answer.is_success, (answer.status_code, answer.text)
    return answer.json()
