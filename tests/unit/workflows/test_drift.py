"""github drift: what the jobs after it are told, and what it ends with."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta

import pytest
import yaml

from helpers.environments import POSTGRES, environment_data, environment_file
from helpers.fake_github import FakeGitHub
from helpers.fly_tokens import fly_token
from helpers.overrides import end_override
from roost.operations.drift_result import DriftFound
from roost.workflows.drift import jobs_of, to_back_up, with_jobs

DEMO = ("--min-machines-running", "1", "--until", "4h", "--reason", "demo")


@pytest.fixture
def runner(tmp_path, monkeypatch):
    """A step of a workflow: gives its outputs, and its summary."""
    paths = {name: tmp_path / f"{name}.txt" for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    for name, path in paths.items():
        path.touch()
        monkeypatch.setenv(name, str(path))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")

    def read():
        lines = paths["GITHUB_OUTPUT"].read_text().splitlines()
        names = [line.partition("<<")[0] for line in lines[::3]]
        return dict(zip(names, lines[1::3], strict=True)), paths["GITHUB_STEP_SUMMARY"].read_text()

    return read


@pytest.fixture
def applied(roost, fly):
    """The command line, with `staging` applied."""
    assert roost("apply", "staging").code == 0
    fly.asked.clear()
    return roost


def the_config(fly):
    [machine] = fly.machines.values()
    return machine["config"]


def outputs(runner):
    given, _ = runner()
    return {name: json.loads(given[name]) for name in ("heal", "end", "any")} | {
        "state": given["state"]
    }


def test_what_keeps_its_dumps_in_a_bucket_is_backed_up_once_it_was_deployed():
    kept = {**POSTGRES["database"], "backups": "s3://acme-backups/prefect"}
    postgres = {**POSTGRES, "database": kept}
    files = [
        environment_file(postgres, name="new"),
        environment_file(postgres, name="production"),
        environment_file(POSTGRES, name="elsewhere"),
        environment_file(name="sqlite"),
    ]

    assert to_back_up(files, [DriftFound("new", new=True), DriftFound("production")]) == [
        "production"
    ]


def test_all_clean_is_0_with_nothing_to_do(applied, fly, runner, tmp_path):
    said = applied("github", "drift", "--results", tmp_path / "found")

    assert said.code == 0
    assert outputs(runner) == {"heal": [], "end": [], "any": False, "state": "clean"}
    assert fly.changes == []
    assert json.loads((tmp_path / "found" / "staging.json").read_text())["state"] == "clean"
    assert json.loads((tmp_path / "found" / "_summary.json").read_text()) == {
        "format": 1,
        "environments": ["staging"],
        "orphans": [],
        "notes": [],
        "token": {"ends": None, "soon": False},
        "budgets": [],
    }


def ended(seconds, **ending):
    """Return the event of a machine that ended so many seconds ago."""
    at = int((time.time() - seconds) * 1000)
    return {"type": "exit", "status": "stopped", "timestamp": at, "request": {"exit_event": ending}}


def down_of(tmp_path):
    return json.loads((tmp_path / "found" / "staging.json").read_text())["down"]


@pytest.mark.usefixtures("runner")
def test_a_server_whose_machine_ended_unasked_is_down(applied, fly, tmp_path):
    [machine] = fly.machines.values()
    machine |= {"state": "stopped", "events": [ended(60, exit_code=137, requested_stop=False)]}

    applied("github", "drift", "--results", tmp_path / "found")

    assert down_of(tmp_path).startswith("no machine runs, and one ended unasked: ")


@pytest.mark.usefixtures("runner")
def test_a_server_that_sleeps_or_was_stopped_is_not_down(applied, fly, tmp_path):
    [machine] = fly.machines.values()
    for state, events in (
        ("suspended", []),
        ("stopped", [ended(60, exit_code=0, requested_stop=True)]),
    ):
        machine |= {"state": state, "events": events}
        applied("github", "drift", "--results", tmp_path / "found")

        assert down_of(tmp_path) == ""


@pytest.mark.usefixtures("runner")
@pytest.mark.parametrize(("seconds", "is_down"), [(30, False), (3600, True)])
def test_a_failed_health_check_counts_after_the_time_to_boot(
    applied, fly, tmp_path, seconds, is_down
):
    [machine] = fly.machines.values()
    at = int((time.time() - seconds) * 1000)
    machine["checks"] = [{"name": "ready", "status": "critical", "output": "hunter2"}]
    machine["events"] = [{"type": "start", "status": "started", "timestamp": at}]

    applied("github", "drift", "--results", tmp_path / "found")

    expected = "it is awake, and Fly's health check fails: ready." if is_down else ""
    assert down_of(tmp_path) == expected


def test_a_hand_s_change_is_drift_and_waits_for_a_person(applied, fly, runner, tmp_path):
    the_config(fly)["guest"]["memory_mb"] = 2048

    said = applied("github", "drift", "--results", tmp_path / "found")

    document = json.loads((tmp_path / "found" / "staging.json").read_text())
    assert said.code == 0
    assert outputs(runner) == {"heal": [], "end": [], "any": False, "state": "drift"}
    assert (document["state"], document["heal"], document["end"]) == ("drift", False, False)
    assert "::warning title=Drift::staging differs from its file (1 difference)." in said.out
    assert "| `staging` | **drift** | 1 | waits for a person |" in runner()[1]
    assert fly.changes == []


def test_where_the_file_asks_for_it_a_hand_s_change_is_to_be_healed(
    applied, fly, runner, rewrite, tmp_path
):
    rewrite(drift="heal")
    the_config(fly)["guest"]["memory_mb"] = 2048

    said = applied("github", "drift", "--results", tmp_path / "found")

    assert said.code == 0
    assert outputs(runner) == {"heal": ["staging"], "end": [], "any": True, "state": "drift"}
    assert json.loads((tmp_path / "found" / "staging.json").read_text())["heal"] is True
    assert fly.changes == []


def test_what_was_never_applied_is_not_to_be_healed(applied, runner, rewrite):
    rewrite(drift="heal", machine={"memory_mb": 1024})

    assert applied("github", "drift").code == 0
    assert outputs(runner) == {"heal": [], "end": [], "any": False, "state": "drift"}


@pytest.mark.parametrize(("drift", "where"), [({}, "end"), ("heal", "heal")])
def test_an_override_that_ended_is_to_be_ended_once(applied, fly, runner, rewrite, drift, where):
    rewrite(drift=drift)
    applied("scale", "staging", *DEMO)
    end_override(the_config(fly)["metadata"])

    assert applied("github", "drift").code == 0

    lists = {"heal": [], "end": [], where: ["staging"]}
    assert outputs(runner) == {**lists, "any": True, "state": "drift"}


@pytest.mark.parametrize("drift", [{}, "heal"], ids=["told only", "healing"])
def test_an_override_of_what_is_protected_ends_on_the_schedule_too(
    applied, fly, runner, rewrite, monkeypatch, tmp_path, drift
):
    """Its end was agreed to with it."""
    rewrite(drift=drift, protected=True)
    applied("scale", "staging", *DEMO)
    end_override(the_config(fly)["metadata"])
    monkeypatch.setenv("GITHUB_EVENT_NAME", "schedule")

    assert applied("github", "drift", "--results", tmp_path / "found").code == 0

    assert outputs(runner) == {"heal": [], "end": ["staging"], "any": True, "state": "drift"}
    assert json.loads((tmp_path / "found" / "staging.json").read_text())["by_button"] is False


def test_what_is_protected_is_healed_by_the_button_and_never_by_the_schedule(
    applied, fly, runner, rewrite, monkeypatch, tmp_path
):
    """A job that waits for its reviewer holds the line of its server, where a rollback stands behind it."""
    rewrite(drift="heal", protected=True)
    applied("apply", "staging")
    the_config(fly)["guest"]["memory_mb"] = 2048
    found = tmp_path / "found" / "staging.json"

    monkeypatch.setenv("GITHUB_EVENT_NAME", "schedule")
    assert applied("github", "drift", "--results", found.parent).code == 0
    assert outputs(runner) == {"heal": [], "end": [], "any": False, "state": "drift"}
    assert json.loads(found.read_text())["by_button"] is True
    assert "| waits for the button, as it is protected |" in runner()[1]

    monkeypatch.setenv("GITHUB_EVENT_NAME", "workflow_dispatch")
    assert applied("github", "drift", "--results", found.parent).code == 0
    assert outputs(runner)["any"] is True
    assert json.loads(found.read_text())["by_button"] is False


def test_of_what_is_protected_only_what_the_button_puts_back_is_left_to_it(
    applied, fly, runner, rewrite, monkeypatch, tmp_path
):
    rewrite(protected=True)
    the_config(fly)["guest"]["memory_mb"] = 2048
    monkeypatch.setenv("GITHUB_EVENT_NAME", "schedule")

    applied("github", "drift", "--results", tmp_path / "found")

    assert json.loads((tmp_path / "found" / "staging.json").read_text())["by_button"] is False
    assert "| waits for a person |" in runner()[1]


def test_one_that_cannot_be_looked_at_is_1_and_hides_no_other(applied, fly, runner, tmp_path):
    (tmp_path / "broken.yaml").write_text("app: x\n")
    the_config(fly)["guest"]["memory_mb"] = 2048

    said = applied("github", "drift", "--results", tmp_path / "found")

    assert said.code == 1
    assert outputs(runner)["state"] == "error"
    assert "::error title=Drift%3A invalid-files::broken: " in said.out
    assert {path.name for path in (tmp_path / "found").iterdir()} == {
        *("broken.json", "staging.json", "_summary.json")
    }


@pytest.mark.usefixtures("runner")
def test_an_orphan_is_drift(applied, tmp_path):
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(environment_data(app="acme-other")))
    (tmp_path / "staging.yaml").unlink()

    said = applied("github", "drift", "--results", tmp_path / "found")

    [orphan] = json.loads((tmp_path / "found" / "_summary.json").read_text())["orphans"]
    assert said.code == 0
    assert (orphan["app"], orphan["environment"]) == ("acme-prefect", "staging")
    assert "::warning title=Drift::acme-prefect is orphaned: its file is gone." in said.out


@pytest.mark.parametrize(("days", "told"), [(5, True), (100, False)])
def test_a_token_near_its_end_is_a_warning(applied, runner, monkeypatch, tmp_path, days, told):
    ends = (datetime.now(UTC) + timedelta(days=days)).replace(microsecond=0)
    token = fly_token(ends)
    monkeypatch.setenv("FLY_API_TOKEN", token)

    said = applied("github", "drift", "--results", tmp_path / "found")

    sentence = f"The Fly token of the schedule expires on {ends:%Y-%m-%d at %H:%M} UTC."
    document = json.loads((tmp_path / "found" / "_summary.json").read_text())["token"]
    assert said.code == 0
    assert (f"::warning title=Fly token::{sentence}" in said.out) is told
    assert (sentence in runner()[1]) is told
    assert document == {"ends": ends.isoformat().replace("+00:00", "Z"), "soon": told}
    for part in token.removeprefix("FlyV1 ").split(","):
        assert part not in said.out + said.err + runner()[1]


def test_outside_of_a_workflow_it_says_what_drift_of_all_says(applied, fly):
    the_config(fly)["guest"]["memory_mb"] = 2048

    here, there = applied("github", "drift"), applied("drift", "--all")

    assert (here.code, here.out, here.err) == (2, there.out, there.err)
    assert there.code == 2


def test_without_a_file_there_is_nothing_to_look_at(roost, fly, tmp_path):
    (tmp_path / "staging.yaml").unlink()

    assert roost("github", "drift").code == 3
    assert fly.asked == []


# The first days of a repository


@pytest.mark.parametrize("files", ["none", "only examples"])
def test_until_there_is_a_server_the_schedule_is_green_and_wants_no_token(
    roost, fly, runner, rewrite, monkeypatch, tmp_path, files
):
    rewrite(app="acme-the-example")
    if files == "none":
        (tmp_path / "staging.yaml").unlink()
    monkeypatch.delenv("FLY_API_TOKEN")

    said = roost("github", "drift", "--results", tmp_path / "found")

    assert (said.code, fly.asked) == (0, [])
    assert "There is no server to watch yet" in said.out
    assert "There is no server to watch yet" in runner()[1]
    assert outputs(runner) == {"heal": [], "end": [], "any": False, "state": "clean"}
    # The job that opens issues reads this; it closes none, as nobody looked.
    run = json.loads((tmp_path / "found" / "_summary.json").read_text())
    assert (run["environments"], len(run["notes"])) == ([], 1)


def test_an_example_beside_a_server_is_not_looked_at(applied, fly, runner, tmp_path):
    data = environment_data(app="acme-the-example")
    (tmp_path / "demo.yaml").write_text(yaml.safe_dump(data))

    said = applied("github", "drift", "--results", tmp_path / "found")

    assert (said.code, outputs(runner)["state"]) == (0, "clean")
    assert not [path for path in fly.asked if "acme-the-example" in str(path)]
    run = json.loads((tmp_path / "found" / "_summary.json").read_text())
    assert run["environments"] == ["staging"]


@pytest.mark.usefixtures("runner")
def test_with_a_server_and_no_token_it_is_red_and_says_which_token_is_wanted(roost, monkeypatch):
    monkeypatch.delenv("FLY_API_TOKEN")

    said = roost("github", "drift")

    assert said.code == 3
    assert "The GitHub environment `plan` has no secret FLY_API_TOKEN" in said.err
    assert "fly tokens create readonly" in said.err


@pytest.mark.parametrize(
    ("recorded", "state"), [("nothing", "new"), ("a deployment", "drift"), ("unknown", "drift")]
)
def test_what_was_never_deployed_is_no_drift_and_what_is_gone_is(
    roost, runner, monkeypatch, tmp_path, recorded, state
):
    """Fly has nothing of either; GitHub has a record of what was proved."""
    with FakeGitHub() as github:
        if recorded == "a deployment":
            github.ran_in("staging", github.head())
        if recorded == "unknown":
            github.fail(403, only="/deployments", message="Resource not accessible by integration")
        monkeypatch.setenv("GITHUB_API_URL", github.url)
        monkeypatch.setenv("GITHUB_REPOSITORY", "acme/infra")
        monkeypatch.setenv("GITHUB_TOKEN", github.token)

        said = roost("github", "drift", "--results", tmp_path / "found")

    found = json.loads((tmp_path / "found" / "staging.json").read_text())
    assert said.code == 0, said.err
    assert found["state"] == state
    assert bool(found["differences"]) is (state == "drift")
    assert outputs(runner)["state"] == ("clean" if state == "new" else "drift")
    assert ("staging was never deployed" in said.out) is (state == "new")
    assert ("was never deployed: see its Deploy run" in runner()[1]) is (state == "new")


def test_no_more_is_put_back_at_once_than_github_starts_jobs_for():
    documents = [{"environment": f"e{n:03}", "heal": n % 2 == 0, "end": True} for n in range(600)]

    found = with_jobs(documents)

    assert [sum(document[key] for document in found) for key in ("heal", "end")] == [256, 256]
    assert [document["environment"] for document in found if document["heal"]][-1] == "e510"


# Flow servers


def test_the_job_of_an_environment_heals_its_flow_servers_too_once():
    documents = [
        {"environment": name, "heal": True, "end": False}
        for name in ("production.nightly", "staging", "staging.hourly", "staging.nightly")
    ]

    assert jobs_of(documents, "heal") == ["production", "staging"]
    assert jobs_of(documents, "end") == []
