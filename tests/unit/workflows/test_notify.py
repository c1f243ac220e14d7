"""Messages of the workflows: what a job hands on, and that sending it changes nothing else."""

from __future__ import annotations

import json

import pytest
import yaml

from helpers.drift_results import BY_HAND
from helpers.environments import environment_data
from helpers.fake_github import FakeGitHub
from helpers.message_server import MessageServer
from helpers.step_outputs import outputs_in

NOTICE = {
    "fact": "drift",
    "environment": "staging",
    "title": "Drift: staging",
    "text": "It differs.",
}


@pytest.fixture
def server():
    with MessageServer() as found:
        yield found


@pytest.fixture
def github():
    with FakeGitHub() as found:
        yield found


@pytest.fixture
def step(roost, github, tmp_path, monkeypatch):
    """A step of a job, with `staging` telling one address of drift, approvals and failures."""
    data = environment_data(
        app="acme-staging",
        notify=[{"url_secret": "NOTIFY_URL", "on": ["drift", "approval", "failed"]}],
    )
    (tmp_path / "staging.yaml").write_text(yaml.safe_dump(data))
    (tmp_path / "quiet.yaml").write_text(yaml.safe_dump(environment_data(app="acme-quiet")))
    for name, value in {
        "GITHUB_ACTIONS": "true",
        "GITHUB_API_URL": github.url,
        "GITHUB_REPOSITORY": "acme/infra",
        "GITHUB_RUN_ID": "1001",
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "GITHUB_TOKEN": github.token_for(
            {"actions": "read", "issues": "write", "contents": "read"}
        ),
    }.items():
        monkeypatch.setenv(name, value)
    return roost


def test_what_a_job_left_is_sent_to_who_listens(step, server, monkeypatch):
    monkeypatch.setenv("NOTIFY_URL", f"{server.url}/hunter2")
    other = {**NOTICE, "environment": "quiet", "title": "Drift: quiet"}
    unheard = {**NOTICE, "fact": "token", "environment": ""}
    monkeypatch.setenv("NOTICES", json.dumps([NOTICE, other, unheard]))

    said = step("github", "notify")

    assert said.code == 0
    [(_, message)] = server.got
    assert (message["title"], message["message"]) == ("[Roost] Drift: staging", "It differs.")
    assert "hunter2" not in said.out + said.err


def test_an_address_that_is_not_reached_is_a_warning_and_the_step_ends_well(step, monkeypatch):
    monkeypatch.setenv("NOTIFY_URL", "http://127.0.0.1:1/hunter2")
    monkeypatch.setenv("NOTICES", json.dumps([NOTICE]))

    said = step("github", "notify")

    assert said.code == 0
    [line] = [line for line in said.out.splitlines() if line.startswith("::warning")]
    assert "NOTIFY_URL: the message was not delivered to its web address" in line
    assert "hunter2" not in said.out + said.err


def test_a_secret_that_the_job_lacks_is_a_warning_that_names_it(step, monkeypatch):
    monkeypatch.delenv("NOTIFY_URL", raising=False)
    monkeypatch.setenv("NOTICES", json.dumps([NOTICE]))

    said = step("github", "notify")

    assert said.code == 0
    assert "the environment variable NOTIFY_URL is not set" in said.out


@pytest.mark.parametrize("notices", ["", "[]", json.dumps([NOTICE])], ids=["none", "no", "one"])
def test_a_job_that_failed_before_it_could_say_more_is_told(step, server, monkeypatch, notices):
    monkeypatch.setenv("NOTIFY_URL", server.url)
    monkeypatch.setenv("NOTICES", notices)
    monkeypatch.setenv("BROKEN", "Changed")

    said = step("github", "notify")

    assert said.code == 0
    [(_, message)] = server.got
    assert "Deploy: the job Changed failed" in message["title"] + message["message"]
    assert "/acme/infra/actions/runs/1001" in message["message"]


def test_addresses_in_a_file_with_faults_are_a_warning(step, server, monkeypatch, tmp_path):
    """Such a file is why the job Changed fails; the other files still say who is told."""
    monkeypatch.setenv("NOTIFY_URL", server.url)
    monkeypatch.setenv("BROKEN", "Changed")
    (tmp_path / "quiet.yaml").write_text("app: [")

    some = step("github", "notify")
    (tmp_path / "staging.yaml").write_text("app: [")
    none = step("github", "notify")

    assert (some.code, none.code, len(server.got)) == (0, 0, 1)
    assert "quiet.yaml is not known: there are faults in it" in some.out
    assert "There is nothing to tell." in none.out
    assert "staging.yaml is not known" in none.out


def test_nothing_to_tell_is_fine_and_what_is_no_list_is_refused(step, monkeypatch):
    monkeypatch.setenv("NOTICES", "")
    assert "There is nothing to tell." in step("github", "notify").out
    monkeypatch.setenv("NOTICES", "[1]")
    assert step("github", "notify").code != 0


@pytest.mark.parametrize("reviewed", [True, False], ids=["reviewers", "no-reviewers"])
def test_a_deploy_that_waits_for_a_reviewer_is_told(step, github, server, monkeypatch, reviewed):
    monkeypatch.setenv("NOTIFY_URL", server.url)
    github.add_environment("staging", reviewers=("grace",) if reviewed else ())
    github.add_environment("quiet", reviewers=("grace",))
    monkeypatch.setenv("ENVIRONMENTS", '["staging", "quiet"]')

    said = step("github", "waiting")

    assert said.code == 0
    titles = [message["title"] for _, message in server.got]
    assert titles == (["[Roost] staging: the deploy waits for an approval"] if reviewed else [])
    if reviewed:
        [(_, message)] = server.got
        assert "One of grace approves it" in message["message"]
        assert message["message"].endswith("/acme/infra/actions/runs/1001")


def test_an_environment_that_github_does_not_return_is_a_warning(step, server, monkeypatch):
    monkeypatch.setenv("NOTIFY_URL", server.url)
    monkeypatch.setenv("ENVIRONMENTS", '["staging"]')

    said = step("github", "waiting")

    assert (said.code, server.got) == (0, [])
    assert "Whether staging waits for a reviewer is not known" in said.out


def test_the_job_that_opens_issues_hands_on_what_is_new_and_once(step, tmp_path):
    found = tmp_path / "found"
    found.mkdir()
    drifted = {"format": 1, "environment": "staging", "app": "a", "state": "drift"}
    for name, document in {
        "_summary": {"environments": ["staging", "quiet"]},
        "staging": {**drifted, "differences": [BY_HAND]},
        "quiet": {**drifted, "environment": "quiet", "differences": [BY_HAND]},
    }.items():
        (found / f"{name}.json").write_text(json.dumps(document))
    output = tmp_path / "output"

    assert step("github", "drift-issues", "--results", found).code == 0
    [handed] = json.loads(outputs_in(output)["notices"])
    output.write_text("")
    assert step("github", "drift-issues", "--results", found).code == 0

    assert (handed["environment"], handed["title"]) == ("staging", "Drift: staging")
    assert handed["link"].endswith("/actions/runs/1001")
    assert "notices" not in outputs_in(output)
