"""`roost doctor ENV` of the real server: each fault is made, found with what shows it, and gone after the remedy."""

from __future__ import annotations

import sqlite3
import subprocess
from contextlib import closing

import httpx
import pytest

from helpers.doctor_runs import take, wrong
from helpers.plain_http import NO_TLS
from helpers.postgres import find_programs, postgres_server
from helpers.prefect_site import APP, NAME
from helpers.waiting import LIMIT_S

pytestmark = pytest.mark.slow

PROGRAMS = find_programs()
APPLY, DOCTOR = ("apply", NAME, "--local"), ("doctor", NAME, "--local")
CACHE_TTL = "PREFECT_SERVER_EVENTS_RELATED_RESOURCE_CACHE_TTL"
BROWSER = "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"
OLD_CLIENT = "prefect/3.1.10 (API 0.8.4)"
URL_SECRET = "DATABASE_URL"
POSTGRES = {
    "database": {"backend": "postgres", "url_secret": URL_SECRET},
    "secrets": ["PREFECT_SERVER_API_AUTH_STRING", URL_SECRET],
    "scaling": {"idle_after": "1h"},
}


def test_a_setting_that_prefect_refuses_and_a_schema_of_a_newer_prefect(own_site):
    own_site.start(scaling={"idle_after": "1h"}, prefect={"settings": {CACHE_TTL: "no-period"}})
    own_site.roost.run(*APPLY, expect=5)

    [refused] = wrong(own_site, NAME)

    assert refused["what"].endswith("Prefect refuses a setting")
    assert any("related_resource_cache_ttl" in line for line in refused["evidence"])
    assert "no-period" not in str(refused["evidence"])
    take(own_site, refused)
    own_site.roost.run(*APPLY)
    own_site.roost.run(*DOCTOR)

    backup = own_site.roost.json("backup", NAME, "--local")
    own_site.rest("stop", "stopped")
    with closing(sqlite3.connect(own_site.volume / "prefect.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")

    [newer] = wrong(own_site, NAME, "--wake")

    assert "a newer Prefect has migrated the database" in newer["what"]
    assert any("exited with code 1" in line for line in newer["evidence"])
    assert "restore a snapshot from before its migration" in newer["mend"]
    own_site.roost.run("restore", NAME, "--snapshot", backup["snapshot"], "--local")
    own_site.roost.run(*DOCTOR)


def test_who_wakes_a_server_again_and_again_and_a_client_that_does_not_fit(own_site):
    own_site.start(scaling={"idle_after": "5s"}).bring_up()
    for agent in (OLD_CLIENT, *[BROWSER] * 4):
        own_site.daemon.wait(APP, own_site.machine, "suspended")
        ask(own_site, agent)

    findings = wrong(own_site, NAME)
    woken = next(check for check in findings if "woken again" in check["what"])
    old = next(check for check in findings if "does not fit" in check["what"])

    assert "within an hour, by a browser" in woken["what"]
    assert any(
        f'/ui-settings, "{BROWSER}"' in line or "/ui-settings from" in line
        for line in woken["evidence"]
    )
    assert "close the tab with the UI" in woken["mend"]
    assert "Its Prefect 3.1.10" in old["mend"]
    take(own_site, woken)
    own_site.roost.run(*APPLY)
    own_site.roost.run(*DOCTOR)


def ask(site, agent):
    """Ask the server for what its pages begin with, as who has this user agent."""
    with httpx.Client(trust_env=False, timeout=LIMIT_S, verify=NO_TLS) as http:
        answer = http.get(f"{site.url()}/ui-settings", headers={"User-Agent": agent})
    assert answer.is_success, answer.text


@pytest.mark.skipif(PROGRAMS is None, reason="no PostgreSQL here: apt-get install postgresql")
def test_a_database_that_no_longer_takes_the_password(own_site):
    assert PROGRAMS is not None
    with postgres_server(PROGRAMS) as database:
        statement(database, "CREATE ROLE ours LOGIN SUPERUSER PASSWORD 'first'")
        own_site.roost.env[URL_SECRET] = address(database, "first")
        own_site.start(**POSTGRES)
        own_site.roost.run(*APPLY)
        statement(database, "ALTER ROLE ours PASSWORD 'second'")
        own_site.rest("stop", "stopped")

        [refused] = wrong(own_site, NAME, "--wake")

        assert "the database refuses the user" in refused["what"]
        assert any('it said: "' in line and "password" in line for line in refused["evidence"])
        assert database.password not in str(refused)
        assert f"correct the value of {URL_SECRET} at its source" in refused["mend"]
        assert refused["commands"] == [f"roost doctor {NAME} --database", f"roost apply {NAME}"]
        own_site.roost.env[URL_SECRET] = address(database, "second")
        own_site.roost.run(*APPLY)
        own_site.roost.run(*DOCTOR)


def address(database, password):
    """Return the address of the database for the role of the test."""
    own = f"postgres:{database.password}@"
    return database.url.replace(own, f"ours:{password}@")


def statement(database, text):
    """Run a statement as the administrator."""
    assert PROGRAMS is not None
    subprocess.run(
        [str(PROGRAMS / "psql"), "-qX", "-v", "ON_ERROR_STOP=1", database.url],
        input=text,
        text=True,
        capture_output=True,
        check=True,
    )
