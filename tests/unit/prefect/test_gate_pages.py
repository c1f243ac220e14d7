"""The gate proves the database that the file names, and blames what the server's settings show."""

from __future__ import annotations

import time
from dataclasses import replace

import anyio
import httpx
import pytest

from helpers.fake_prefect import LOGIN, FakePrefect, say
from roost.prefect.gate_pages import ask_report
from roost.prefect.probe import Server, prove, select_checks
from roost.prefect.transport import prefect_client
from roost.secret_text import SecretText

SHORT_S = 0.1


def report(database="sqlite on the volume", api_path="/api", last_error=""):
    return {"database": database, "api_path": api_path, "last_error": last_error}


def shows(*path, value):
    """What Prefect shows of its settings, where one has a value."""
    for part in reversed(path):
        value = {part: value}
    return value


def probe(fake, *names, database="sqlite", auth=LOGIN):
    """Run the checks with these names, or all; return each result by its name."""

    async def run():
        async with prefect_client("http://acme.test", 5, httpx.MockTransport(fake)) as http:
            login = SecretText(auth) if auth else None
            server = Server(http, login, poll_s=0.001, database=database)
            checks = tuple(
                replace(check, limit_s=SHORT_S if check.name == "scheduler" else check.limit_s)
                for check in select_checks(login=bool(auth), stock=False)
                if not names or check.name in names
            )
            return [result async for result in prove(server, checks, time.monotonic)]

    return {result.name: result for result in anyio.run(run)}


@pytest.mark.parametrize(
    ("wanted", "found", "ok"),
    [
        ("sqlite", "sqlite on the volume", True),
        ("sqlite", "sqlite elsewhere", False),
        ("sqlite", "sqlite in memory", False),
        ("sqlite", "postgres", False),
        ("sqlite", "another database", False),
        ("postgres", "postgres", True),
        ("postgres", "sqlite on the volume", False),
        ("", "postgres", True),
    ],
)
def test_the_database_is_the_one_that_the_file_names(wanted, found, ok):
    result = probe(FakePrefect(report=report(found)), "database", database=wanted)["database"]

    assert result.ok is ok
    assert found in result.detail
    assert ok or ("database" in result.advice and result.advice.endswith("."))


def test_on_a_wrong_database_nothing_is_written():
    fake = FakePrefect(report=report("postgres"))

    results = probe(fake)

    assert list(results)[-1] == "database"
    assert not [path for verb, path in fake.asked if verb == "POST"]


def test_a_server_without_login_reports_to_anybody():
    fake = FakePrefect(auth=False, report=report("postgres"))

    assert not probe(fake, "database", auth="")["database"].ok


@pytest.mark.parametrize(
    ("driver", "wanted", "ok"),
    [
        ("postgresql+asyncpg", "sqlite", False),
        ("postgresql+asyncpg", "postgres", True),
        ("sqlite+aiosqlite", "sqlite", True),
        ("sqlite+aiosqlite", "postgres", False),
    ],
)
def test_an_image_that_reports_nothing_is_judged_by_the_driver_that_prefect_shows(
    driver, wanted, ok
):
    fake = FakePrefect(settings=shows("server", "database", "driver", value=driver))

    assert probe(fake, "database", database=wanted)["database"].ok is ok


@pytest.mark.parametrize(
    "fake",
    [
        FakePrefect(),
        FakePrefect(settings=shows("server", "database", "driver", value=None)),
        FakePrefect(report={"database": 7}),
        FakePrefect(broken={("GET", "/roost/report"): httpx.Response(200, text="<html>")}),
        FakePrefect(broken={("GET", "/api/admin/settings"): say(200, [])}),
    ],
    ids=["of before", "without a driver", "no name", "a page", "a list"],
)
def test_what_cannot_be_known_is_said_to_be_unproved(fake):
    result = probe(fake, "database")["database"]

    assert result.ok
    assert result.detail == "not proved: only Roost's own image reports its database"


def test_what_is_reported_is_one_line_of_bounded_length_without_the_login():
    told = report(last_error=f"line\n{LOGIN} \x1b[31m" + "x" * 999)

    async def run():
        fake = FakePrefect(report=told)
        async with prefect_client("http://acme.test", 5, httpx.MockTransport(fake)) as http:
            return await ask_report(Server(http, SecretText(LOGIN)))

    found = anyio.run(run)

    assert found.last_error.startswith("line [hidden] ?[31mxxx")
    assert len(found.last_error) == 300


CAUSES = {
    "scheduler off": (
        {
            "scheduler": False,
            "settings": shows("server", "services", "scheduler", "enabled", value=False),
        },
        "scheduler",
        "The scheduler is off: PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED is false",
    ),
    "scheduler on": (
        {
            "scheduler": False,
            "settings": shows("server", "services", "scheduler", "enabled", value=True),
        },
        "scheduler",
        "The scheduler creates no runs. Look at the server's log.",
    ),
    "ui on": (
        {
            "broken": {("GET", "/"): say(500, {})},
            "settings": shows("server", "ui", "enabled", value=True),
        },
        "ui",
        "Look at the server's log.",
    ),
    "base path": (
        {
            "broken": {("GET", "/api/health"): say(404, {})},
            "report": report(api_path="/prefect/api"),
        },
        "health",
        "Its API is under /prefect/api, where neither the gate nor Fly's checks look for it. ",
    ),
    "no base path": (
        {"broken": {("GET", "/api/health"): say(404, {})}, "report": report()},
        "health",
        "Is this the address of a Prefect server",
    ),
}


@pytest.mark.parametrize(("server", "check", "advice"), CAUSES.values(), ids=CAUSES)
def test_a_check_that_fails_is_explained_by_what_the_server_shows(server, check, advice):
    result = probe(FakePrefect(**server), check)[check]

    assert not result.ok
    assert result.advice.startswith(advice)


def test_a_server_that_passes_is_not_asked_for_causes():
    fake = FakePrefect(report=report())

    assert all(result.ok for result in probe(fake).values())
    assert ("GET", "/api/admin/settings") not in fake.asked
