"""status without a name: every environment in one table, from Fly alone; nobody is woken or hidden."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from functools import partial

import anyio
import httpx
import pytest
import stamina
import yaml

from helpers.due_runs import next_due
from helpers.environments import environment_data
from helpers.fake_prefect import LOGIN
from helpers.fly_answers import says
from helpers.fly_of_apps import FlyOfApps
from roost.commands import fleet as command
from roost.fly.client import FlyClient
from roost.plan.desired import OVERRIDE_KEY
from roost.plan.next_due import NEXT_DUE_KEY
from roost.plan.override import Override

APPS = {"demo": "acme-demo", "staging": "acme-prefect", "zoo": "acme-zoo"}


class Refusing(FlyOfApps):
    """Several apps, of which one is refused on demand."""

    refused = ""

    def __call__(self, request):
        """Answer one request, or refuse it."""
        if self.refused and f"/apps/{self.refused}" in request.url.path:
            return says(403, {"error": "not authorized"})
        return super().__call__(request)


@pytest.fixture
def many(clients, roost, tmp_path):  # noqa: ARG001 - `roost` sets up the fake Fly that this one replaces
    """A Fly with three apps, and a file for each."""
    found = Refusing(*APPS.values())
    clients.use(fly=partial(FlyClient, transport=httpx.MockTransport(found)))
    for name, app in APPS.items():
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(environment_data(app=app)))
    with stamina.set_testing(True, attempts=2, cap=True):
        yield found


@pytest.fixture
def applied(many, roost, prefect):
    """Two of the three, applied: `staging` is awake, and `demo` sleeps; gives their machines."""
    machines = {}
    for name in ("staging", "demo"):
        assert roost("apply", name).code == 0
        [machines[name]] = many.apps[APPS[name]].machines.values()
    machines["demo"]["state"] = "suspended"
    prefect.asked.clear()
    many.order.clear()
    return machines


def rows(said):
    """The environments of the JSON object, by name."""
    return {row["environment"]: row for row in json.loads(said.out)["environments"]}


def override():
    since = datetime.now(UTC).replace(microsecond=0)
    fields = {"min_machines_running": 1}
    return Override(fields, since + timedelta(hours=4), "demo", "ada", since).encoded()


def ago(seconds):
    return int((time.time() - seconds) * 1000)


def test_every_environment_has_a_row_that_fits_the_terminal_and_no_server_is_asked(
    roost, many, applied, prefect, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "80")

    said = roost("status")

    assert (said.code, said.err) == (0, "")
    head, demo, staging, zoo, *_ = said.out.splitlines()
    assert head.split()[:5] == ["environment", "state", "Prefect", "release", "drift"]
    assert demo.split()[:6] == ["demo", "asleep", "3.8.8", "1", "good", "no"]
    assert staging.split()[:6] == ["staging", "awake", "3.8.8", "1", "good", "no"]
    assert zoo.split()[:5] == ["zoo", "new", "-", "-", "-"]
    assert max(map(len, said.out.splitlines()[:4])) <= 80
    assert "3 environments: 1 awake, 1 asleep, 1 new." in said.out
    assert (prefect.asked, many.order) == ([], [])
    assert applied["demo"]["state"] == "suspended"


@pytest.mark.usefixtures("applied")
def test_a_wide_terminal_shows_more(roost, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")

    said = roost("status")

    assert "https://acme-prefect.fly.dev" in said.out
    assert "override for" in said.out.splitlines()[0]


@pytest.mark.usefixtures("applied")
def test_one_that_cannot_be_read_hides_no_other_and_its_row_says_why(roost, many):
    many.refused = APPS["demo"]

    said = roost("status")
    found = rows(roost("status", "--json"))

    assert said.code == 1
    assert said.out.splitlines()[1].split()[:2] == ["demo", "error"]
    assert "Fly answered 403: not authorized" in said.out.splitlines()[2]
    assert (found["demo"]["state"], found["demo"]["error"]["word"]) == ("error", "fly-forbidden")
    assert (found["staging"]["state"], found["staging"]["error"]) == ("awake", None)


@pytest.mark.usefixtures("many")
def test_a_file_with_a_fault_is_a_row_too(roost, tmp_path):
    (tmp_path / "broken.yaml").write_text("app: acme-broken\nregoin: iad\n")

    said = roost("status")

    assert said.code == 1
    assert said.out.splitlines()[1].split()[:2] == ["broken", "error"]
    assert "broken.yaml:2:" in said.out


def test_what_needs_a_person_stands_below_with_the_next_step(roost, many, applied):
    metadata = applied["demo"]["config"]["metadata"]
    metadata[NEXT_DUE_KEY] = json.dumps(next_due(minutes=-30))
    metadata[OVERRIDE_KEY] = override()
    applied["staging"]["config"]["guest"]["memory_mb"] = 2048
    applied["staging"]["checks"] = [{"name": "up", "status": "critical", "output": "hunter2"}]
    [volume] = many.apps["acme-prefect"].volumes.values()
    volume |= {"block_size": 4096, "blocks": 100, "blocks_avail": 10}

    said = roost("status")

    assert said.code == 1
    assert "staging: A health check of Fly's fails. See why: ./run roost smoke staging" in said.out
    assert "staging: It differs from its file: 1 difference." in said.out
    assert "staging: Its volume is 90 % full." in said.out
    assert "demo: Override: " in said.out
    assert "demo: A run is late: " in said.out
    assert "Start it: ./run roost wake demo" in said.out
    assert "hunter2" not in said.out


def test_awake_since_and_the_cost_come_from_the_events_and_what_fly_forgot_is_said(
    roost, applied, clients
):
    noon = datetime.now(UTC).replace(day=15, hour=12)  # a month has begun long before
    clients.use(now=lambda: noon)
    applied["staging"]["events"] = [
        {"type": kind, "status": status, "timestamp": int((noon.timestamp() - before_s) * 1000)}
        for kind, status, before_s in (("start", "started", 7260), ("exit", "stopped", 9000))
    ]

    said = roost("status")
    found = rows(roost("status", "--json"))["staging"]

    assert found["cost"]["at_least"] is True
    assert 0 <= found["cost"]["so_far"] < found["cost"]["month_end"]
    assert "  2 h  " in said.out
    assert "costs at least $" in said.out
    assert "+: Fly has forgotten when a machine was awake." in said.out


def test_a_machine_that_ended_unasked_and_left_nothing_running_is_failed(roost, applied):
    ending = {"exit_code": 1, "requested_stop": False, "oom_killed": False}
    applied["demo"]["state"] = "stopped"
    applied["demo"]["events"] = [
        {
            "type": "exit",
            "status": "stopped",
            "timestamp": ago(60),
            "request": {"exit_event": ending},
        }
    ]

    said = roost("status")

    assert said.code == 1
    assert said.out.splitlines()[1].split()[:2] == ["demo", "failed"]


def test_older_events_are_asked_for_only_where_the_list_does_not_reach_back(roost, many, applied):
    def asked():
        return [
            ask for one in many.apps.values() for ask in one.asked if ask.path[-1:] == ("events",)
        ]

    for machine in applied.values():
        machine["events"] = [{"type": "launch", "status": "created", "timestamp": ago(60)}]
    roost("status")
    assert asked() == []

    applied["demo"]["events"] = []
    roost("status")
    assert len(asked()) == 1


@pytest.mark.parametrize(
    "words",
    [
        ("staging", "--watch"),
        ("--watch", "--json"),
        ("--watch", "--html", "x.html"),
        ("staging", "--html", "x.html"),
    ],
)
def test_watching_and_the_page_are_for_all(roost, fly, words):
    said = roost("status", *words)

    assert said.code == 3
    assert "[usage]: --" in said.err
    assert fly.asked == []


@pytest.mark.usefixtures("applied")
def test_the_page_replaces_the_file_as_a_whole_and_has_no_secret(roost, tmp_path):
    page = tmp_path / "fleet.html"
    page.write_text("old")

    said = roost("status", "--html", page)

    assert said.code == 0
    assert said.err == f"Wrote {page}.\n"
    assert "3 environments: " in said.out
    assert page.read_text().startswith("<!doctype html>")
    assert LOGIN.partition(":")[2] not in page.read_text()
    assert [path.name for path in tmp_path.glob("*.new")] == []


@pytest.mark.usefixtures("applied")
def test_a_page_in_a_folder_that_is_not_there_is_a_sentence(roost, tmp_path):
    said = roost("status", "--html", tmp_path / "none" / "fleet.html")

    assert said.code == 3
    assert "cannot be written: No such file or directory." in said.err


@pytest.mark.usefixtures("applied")
def test_watching_shows_a_table_again_and_again(roost, monkeypatch):
    rests = []

    async def rest(seconds):
        rests.append(seconds)
        if len(rests) == 3:
            raise KeyboardInterrupt
        await anyio.lowlevel.checkpoint()

    monkeypatch.setattr(command.watch, "__kwdefaults__", {"sleep": rest})

    said = roost("status", "--watch")

    assert said.code == 130
    assert said.out.count("UTC, Ctrl-C ends it.") == 3
    assert said.out.count("3 environments: ") == 3
    assert min(rests) >= command.REST_S


def test_without_a_file_it_says_how_to_make_one(roost, tmp_path):
    (tmp_path / "staging.yaml").unlink()

    said = roost("status")

    assert said.code == 3
    assert "./run roost init" in said.err


def test_apps_and_volumes_are_read_for_the_whole_organization_at_once(roost, many, applied):
    """Of 1,000 calls for 200 environments, 400 are not needed."""
    for one in many.apps.values():
        one.asked.clear()

    said = roost("status", "--json")

    asked = {"/".join(call.path) for one in many.apps.values() for call in one.asked}
    assert {"apps/acme-demo", "apps/acme-demo/volumes"}.isdisjoint(asked)
    assert {"apps/acme-demo/machines", "apps/acme-demo/secrets"} <= asked
    # The app that does not exist yet is in no list, and so is asked for.
    assert "apps/acme-zoo" in asked
    assert rows(said)["zoo"]["state"] == "new"
    assert applied["demo"]["state"] == "suspended"


@pytest.mark.usefixtures("applied")
def test_a_token_that_may_not_list_an_organization_reads_app_by_app_and_finds_the_same(roost, many):
    listed = rows(roost("status", "--json"))
    many.lists_volumes = False
    one_by_one = rows(roost("status", "--json"))

    for name, row in listed.items():
        other = one_by_one[name]
        assert {k: row[k] for k in ("state", "drift", "release", "disk_percent", "notes")} == {
            k: other[k] for k in ("state", "drift", "release", "disk_percent", "notes")
        }


@pytest.mark.usefixtures("applied")
def test_a_month_over_its_budget_stands_below_the_table(roost, tmp_path):
    data = environment_data(app=APPS["staging"], budget={"monthly_usd": 0.01})
    (tmp_path / "staging.yaml").write_text(yaml.safe_dump(data))

    shown, document = roost("status"), rows(roost("status", "--json"))

    assert " over its budget of $0.01 a month" in shown.out
    assert (document["staging"]["budget_usd"], document["demo"]["budget_usd"]) == (0.01, None)
    assert shown.code == 0
