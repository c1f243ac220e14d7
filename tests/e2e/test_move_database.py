"""A real server moves from the file on its volume to PostgreSQL, or back, with all that it holds."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager

import pytest

from helpers.outside_writer import writing
from helpers.postgres import find_programs, postgres_server
from helpers.prefect_site import APP, LOGIN, NAME, PrefectSite
from helpers.prefect_versions import NEWEST
from helpers.waiting import LIMIT_S, until
from roost.environment.model import AUTH_SECRET

PROGRAMS = find_programs()
NO_RUNS = {
    "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "3600",
    "PREFECT_SERVER_SERVICES_SCHEDULER_RECENT_DEPLOYMENTS_LOOP_SECONDS": "3600",
}
"""With these settings no schedule makes a run while the gate looks."""
URL_SECRET = "DATABASE_URL"
SQLITE = {"scaling": {"idle_after": "1h"}}
POSTGRES = {
    **SQLITE,
    "database": {"backend": "postgres", "url_secret": URL_SECRET},
    "secrets": [AUTH_SECRET, URL_SECRET],
}
MIGRATE = ("migrate", NAME, "--to", "postgres", "--local")
MIGRATE_BACK = ("migrate", NAME, "--to", "sqlite", "--local")
# What a team has: runs with subflows, retries, logs and artifacts, a paused one, a schedule, a block
# whose value is encrypted, variables of every kind, an automation and a limit.
USE = """
import datetime, uuid
from prefect import flow, task, get_client
from prefect.artifacts import create_markdown_artifact
from prefect.blocks.system import Secret
from prefect.variables import Variable
from prefect.states import Paused

@task
def double(number):
    create_markdown_artifact("# doubled " + str(number), key="doubled")
    return number * 2

@flow
def child(number):
    return double(number)

@flow(log_prints=True)
def parent(names=("a", "b")):
    print("naive caf\\u00e9 \\U0001f426")
    return [child(n) for n in range(2)]

parent()
Secret(value="s3cret-of-a-block").save("moved")
for name, value in {"text": "x", "number": 5, "real": 1.5, "none": None, "tree": {"b": [1, "\\u00e9"]}}.items():
    Variable.set("v_" + name, value)
with get_client(sync_client=True) as client:
    flow_id = client.create_flow_from_name("scheduled")
    deployment = client.create_deployment(
        flow_id, "often", schedules=[{"schedule": {"interval": 10, "anchor_date": "2026-01-01T00:00:00Z"}, "active": True}],
        parameters={"at": "2026-01-01T00:00:00+02:00"}, tags=["moved"],
    )
    run = client.create_flow_run(parent, name="waits")
    client.set_flow_run_state(run.id, Paused(timeout_seconds=86400, pause_key="1"), force=True)
    client.create_global_concurrency_limit(
        __import__("prefect.client.schemas.actions", fromlist=["x"]).GlobalConcurrencyLimitCreate(name="moved", limit=3)
    )
    client._client.post("/automations/", json={
        "name": "moved", "trigger": {"type": "event", "posture": "Reactive", "expect": ["never.happens"], "threshold": 1, "within": 0},
        "actions": [{"type": "do-nothing"}],
    }).raise_for_status()
"""
READ_BLOCK = "from prefect.blocks.system import Secret; print(Secret.load('moved').get())"
ASKED = {
    "/flows/filter": {"sort": "NAME_ASC"},
    "/flow_runs/filter": {
        "sort": "ID_DESC",
        "flow_runs": {"state": {"type": {"not_any_": ["SCHEDULED"]}}},
    },
    "/task_runs/filter": {"sort": "ID_DESC"},
    "/logs/filter": {"sort": "TIMESTAMP_ASC"},
    "/artifacts/filter": {"sort": "ID_DESC"},
    "/variables/filter": {"sort": "NAME_ASC"},
    "/deployments/filter": {"sort": "NAME_ASC"},
    "/automations/filter": {"sort": "NAME_ASC"},
    "/v2/concurrency_limits/filter": {},
    "/block_documents/filter": {},
    "/work_pools/filter": {},
}
"""Requests whose answers must be the same before and after, by their path."""
SCHEDULED = {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}
# What passes by itself, and what a server does as time passes.
PASSING = {"estimated_run_time", "estimated_start_time_delta", "status", "updated", "last_polled"}

pytestmark = pytest.mark.skipif(
    PROGRAMS is None, reason="no PostgreSQL here: apt-get install postgresql"
)


@pytest.fixture
def moving(tmp_path, image_cache, image):
    """A used server on its volume, whose file asks for PostgreSQL now; gives it with the database."""
    with used(tmp_path, image_cache, image, SQLITE) as (site, database):
        site.write(**POSTGRES)
        yield site, database


@pytest.fixture
def moving_back(tmp_path, image_cache, image):
    """A used server on PostgreSQL, whose file asks for a volume now; gives it with the database."""
    with used(tmp_path, image_cache, image, POSTGRES) as (site, database):
        site.write(**SQLITE)
        yield site, database


@contextmanager
def used(folder, image_cache, image, fields):
    """Yield a server of such a file that flows have used, and a PostgreSQL."""
    site = PrefectSite(folder, image_cache)
    assert PROGRAMS is not None
    with postgres_server(PROGRAMS) as database:
        try:
            site.roost.env[URL_SECRET] = database.url
            site.start(**fields).bring_up()
            client(site, image, folder, USE)
            yield site, database
        finally:
            site.daemon.clean()


def client(site, image, folder, script):
    """Run a program with Prefect's client; return what it prints."""
    env = {
        "PATH": f"{image.bin}:/usr/bin:/bin",
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "PREFECT_HOME": str(folder / "client"),
        "PREFECT_API_URL": f"{site.url()}/api",
        "PREFECT_API_AUTH_STRING": LOGIN,
    }
    command = [image.bin / "python", "-c", script]
    done = subprocess.run(
        command, env=env, cwd=folder, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def answers(site):
    """Return what the server answers, without what passes by itself."""
    found = {path: site.ask("POST", path, body).json() for path, body in ASKED.items()}
    return {path: [lasting(entry) for entry in entries] for path, entries in found.items()}


def lasting(entry):
    """Return an entry without what passes by itself, and sorted where the order has no meaning."""
    if isinstance(entry, dict):
        return {key: lasting(value) for key, value in entry.items() if key not in PASSING}
    return [lasting(each) for each in entry] if isinstance(entry, list) else entry


def last_scheduled(site):
    """Return the latest time for which a run is scheduled; empty if there is none."""
    asked = {"sort": "EXPECTED_START_TIME_DESC", "limit": 1}
    found = site.ask("POST", "/flow_runs/filter", {**asked, **SCHEDULED}).json()
    return found[0]["expected_start_time"] if found else ""


@pytest.mark.slow
def test_a_used_server_moves_with_every_row_and_goes_on(moving, image, tmp_path):
    site, database = moving
    until(lambda: last_scheduled(site))
    before, last = answers(site), last_scheduled(site)
    volume = site.volume

    planned = site.roost.json("plan", NAME, "--local")
    with writing(site) as writer:
        moved = site.roost.run(*MIGRATE)
        until(lambda: len(writer.acknowledged) > 5)

    assert [step["kind"] for step in planned["steps"]] == [
        *("set-secrets", "copy-database", "update-machine"),
    ]
    after = answers(site)
    for path, entries in before.items():
        known = {key(entry) for entry in entries}
        assert [e for e in after[path] if key(e) in known] == entries, path
    assert writer.lost() == set()
    assert client(site, image, tmp_path, READ_BLOCK).strip() == "s3cret-of-a-block"
    until(lambda: last_scheduled(site) > last)
    assert site.roost.json("plan", NAME, "--local")["steps"] == []
    assert "the same on both sides" in moved.stderr
    assert database.password not in moved.stdout + moved.stderr

    site.write(**SQLITE)
    refused = site.roost.run("apply", NAME, "--local", expect=3)
    back = site.roost.run("rollback", NAME, "--local", expect=3)
    site.write(**POSTGRES)
    site.roost.run("migrate", NAME, "--confirm", volume.name, "--local")

    assert "the data was moved to PostgreSQL" in refused.stderr
    assert "clients have written since; that would be lost" in back.stderr
    volumes = site.daemon.call("GET", f"{APP}/volumes")
    assert [found["state"] for found in volumes] == ["pending_destroy"]
    assert len(site.daemon.call("GET", f"{APP}/machines")) == 1
    assert site.roost.json("plan", NAME, "--local")["steps"] == []
    assert answers(site)["/variables/filter"] == before["/variables/filter"]


def key(entry):
    """Return what names an entry."""
    return entry["id"]


@pytest.mark.slow
def test_a_move_that_fails_its_gate_comes_back_to_the_volume_and_succeeds_later(moving):
    site, _ = moving
    site.write(**{**POSTGRES, "prefect": {"version": NEWEST, "settings": NO_RUNS}})

    with writing(site) as writer:
        failed = site.roost.run(*MIGRATE, expect=4)
        before = len(writer.acknowledged)
        until(lambda: len(writer.acknowledged) > before)

    assert "Checks failed: scheduler" in failed.stderr
    assert "The last healthy release was restored and passed the gate" in failed.stderr
    assert writer.lost() == set()
    site.write(**POSTGRES)
    site.roost.run(*MIGRATE)
    assert writer.lost() == set()
    assert site.roost.json("plan", NAME, "--local")["steps"] == []


@pytest.mark.slow
def test_a_used_server_moves_from_postgres_to_a_volume_with_every_row_and_goes_on(
    moving_back, image, tmp_path
):
    site, database = moving_back
    until(lambda: last_scheduled(site))
    before, last = answers(site), last_scheduled(site)

    planned = site.roost.run("plan", NAME, "--local")
    with writing(site) as writer:
        moved = site.roost.run(*MIGRATE_BACK)
        until(lambda: len(writer.acknowledged) > 5)

    assert f"roost migrate {NAME} --local --to sqlite" in planned.stdout
    after = answers(site)
    for path, entries in before.items():
        known = {key(entry) for entry in entries}
        assert [e for e in after[path] if key(e) in known] == entries, path
    assert writer.lost() == set()
    assert client(site, image, tmp_path, READ_BLOCK).strip() == "s3cret-of-a-block"
    until(lambda: last_scheduled(site) > last)
    assert site.roost.json("plan", NAME, "--local")["steps"] == []
    assert "the same on both sides" in moved.stderr
    assert database.password not in moved.stdout + moved.stderr
    [machine] = site.daemon.call("GET", f"{APP}/machines")
    assert machine["config"]["mounts"]
    back = site.roost.run("rollback", NAME, "--to", "1", "--local", expect=3)
    assert "moved the data to a volume, where clients have written since" in back.stderr
