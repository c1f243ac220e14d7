"""The schedule's round on a local Fly and a stand-in of GitHub: found, told, put back, told again."""

from __future__ import annotations

import json

import pytest

from helpers.fake_github import FakeGitHub
from helpers.overrides import end_override
from helpers.small_server import NAME, SMALL
from roost.plan.desired import OVERRIDE_KEY
from roost.report.issue import LABEL

pytestmark = pytest.mark.slow

APPLY = ("apply", NAME, "--local")
DEMO = ("--min-machines-running", "1", "--until", "4h", "--reason", "demo")


class Schedule:
    """What the jobs of the schedule run, one after another, each with what it is given."""

    def __init__(self, site, github, folder) -> None:
        self.site, self.github, self.folder = site, github, folder
        self.found, self.healed = folder / "found", folder / "healed"
        self.fly = {
            "FLY_FLAPS_BASE_URL": str(site.daemon.client.base_url),
            "FLY_API_TOKEN": "fm2_of-the-test",
        }

    def runner(self, **environ):
        """Return the variables of a step."""
        self.output, self.summary = self.folder / "output.txt", self.folder / "summary.md"
        for path in (self.output, self.summary):
            path.write_text("")
        return {
            "GITHUB_ACTIONS": "true",
            "GITHUB_OUTPUT": str(self.output),
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "GITHUB_REPOSITORY": "acme/infra",
            "GITHUB_RUN_ID": "1001",
            "GITHUB_SERVER_URL": "https://github.com",
            **environ,
        }

    def look(self, expect=0):
        """Look at all, and return the outputs."""
        results = ("--results", str(self.found))
        self.site.roost.run("github", "drift", *results, expect=expect, **self.runner(**self.fly))
        lines = self.output.read_text().splitlines()
        names = [line.partition("<<")[0] for line in lines[::3]]
        return dict(zip(names, lines[1::3], strict=True))

    def put_back(self, option, expect=0):
        """Do what the job of one environment does."""
        results = ("--results", str(self.healed))
        return self.site.roost.run(
            "drift", NAME, option, *results, expect=expect, **self.runner(**self.fly)
        )

    def tell(self, *options, expect=0, permissions=None):
        """Bring the issues to what was found."""
        token = self.github.token_for(permissions or {"issues": "write", "contents": "read"})
        environ = {"GITHUB_API_URL": self.github.url, "GITHUB_TOKEN": token}
        results = ("--results", str(self.found), *options)
        return self.site.roost.run(
            "github", "drift-issues", *results, expect=expect, **self.runner(**environ)
        )

    @property
    def issues(self):
        """Return number, title and state of each."""
        return [(i.number, i.title, i.state) for i in self.github.issues(LABEL)]


@pytest.fixture
def site(own_site):
    """On a Fly of its own: what other tests left on a shared one would be orphans here."""
    return own_site


@pytest.fixture
def schedule(site, tmp_path):
    """An environment that is applied, and the schedule that looks at it."""
    site.roost.run(*APPLY)
    with FakeGitHub() as github:
        yield Schedule(site, github, tmp_path)


def change_by_hand(site, memory_mb):
    """Have another size than the file asks for."""
    [machine] = site.list("machines")
    config = machine["config"]
    config["guest"]["memory_mb"] = memory_mb
    site.daemon.call("POST", f"{site.app}/machines/{machine['id']}", {"config": config})
    site.daemon.wait(site.app, machine["id"], "started")


def memory_of(site):
    [machine] = site.list("machines")
    return machine["config"]["guest"]["memory_mb"]


def ask_for_healing(site):
    """Have the file say `drift: heal`."""
    prefect = {"version": "3.8.8", "image": SMALL}
    site.roost.write(NAME, app=site.name, prefect=prefect, drift="heal")


def test_a_change_by_hand_opens_an_issue_and_healing_closes_it(schedule, site):
    assert schedule.look(expect=0)["state"] == "clean"
    schedule.tell()
    assert schedule.issues == []

    change_by_hand(site, 1024)
    for _ in range(2):
        outputs = schedule.look()
        schedule.tell()
    assert (outputs["state"], outputs["heal"], outputs["end"]) == ("drift", "[]", "[]")
    assert schedule.issues == [(1, f"Drift: {NAME}", "open")]
    assert schedule.github.comments(1) == []
    assert "`guest.memory_mb` | `1024` | `512` |" in schedule.github.issues(LABEL)[0].body
    assert memory_of(site) == 1024

    ask_for_healing(site)
    assert json.loads(schedule.look()["heal"]) == [NAME]
    schedule.put_back("--heal")
    schedule.tell("--healed", str(schedule.healed))
    assert memory_of(site) == 512
    assert schedule.issues == [(1, f"Drift: {NAME}", "closed")]
    assert "is healed, and proved." in schedule.github.comments(1)[0].body

    change_by_hand(site, 768)
    schedule.look()
    schedule.tell()
    assert schedule.issues == [(1, f"Drift: {NAME}", "open")]
    assert "| `768` | `512` |" in schedule.github.issues(LABEL)[0].body


def test_an_override_that_ended_is_ended_without_healing_anything_else(schedule, site):
    site.roost.run("scale", NAME, "--local", *DEMO)
    [machine] = site.list("machines")
    metadata = dict(machine["config"]["metadata"])
    end_override(metadata)
    path = f"{site.app}/machines/{machine['id']}/metadata/{OVERRIDE_KEY}"
    site.daemon.call("POST", path, {"value": metadata[OVERRIDE_KEY]}, expect=204)

    assert json.loads(schedule.look()["end"]) == [NAME]
    schedule.put_back("--end-overrides")
    schedule.tell("--healed", str(schedule.healed))
    assert schedule.issues == []
    assert schedule.look(expect=0)["state"] == "clean"


def test_an_answer_that_is_lost_and_a_permission_that_is_missing(schedule, site):
    change_by_hand(site, 1024)
    schedule.look()
    refused = schedule.tell(expect=1, permissions={"issues": "read"})
    schedule.github.lose(only="POST .*/issues$")
    schedule.tell()

    assert "[github-forbidden]" in refused.stderr
    assert "The job needs `permissions:` with `issues: write`" in refused.stderr
    assert schedule.issues == [(1, f"Drift: {NAME}", "open")]


def test_a_job_that_came_to_nothing_is_told_and_the_next_one_closes_its_issue(schedule, site):
    ask_for_healing(site)
    change_by_hand(site, 1024)
    schedule.look()
    (schedule.healed).mkdir()
    schedule.tell("--healed", str(schedule.healed), expect=1)
    body = schedule.github.issues(LABEL)[0].body

    schedule.look()
    schedule.put_back("--heal")
    schedule.tell("--healed", str(schedule.healed))

    assert "healing it failed with `not-put-back`" in body
    assert schedule.issues == [(1, f"Drift: {NAME}", "closed")]
