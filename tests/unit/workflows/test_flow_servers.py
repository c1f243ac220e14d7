"""A flow server on GitHub: from a pull request to a deploy, each with a plan and an approval of its own."""

from __future__ import annotations

import json
from functools import partial

import httpx
import pytest
import stamina

from helpers.deploy_jobs import PullRequestJobs
from helpers.fake_flow_prefect import FlowPrefect
from helpers.fake_github import FakeGitHub
from helpers.fake_prefect import LOGIN, opens
from helpers.fake_registry import full_registry
from helpers.flow_folders import NIGHTLY, write_flow_folder
from helpers.fly_of_apps import FlyOfApps
from roost.apply import gate
from roost.environment.flow_server import CLIENT_LOGIN
from roost.environment.model import AUTH_SECRET
from roost.fly.client import FlyClient
from roost.plan.desired import VERSION_KEY
from roost.report.comment import read_marker
from roost.workflows import deploy

NAME, APP = "prefect", "acme-server"
UNIT, FLOW_APP = "prefect.nightly", "acme-server-nightly"
WITH_FLOWS = {"app": APP, "flows": [NIGHTLY]}
LARGER = {"machine": {"memory_mb": 1024}}


@pytest.fixture
def fly(monkeypatch, clients, job):  # noqa: ARG001 - it clears the variables first
    """A Fly with the app of a server and that of its flow server."""
    found = FlyOfApps(APP, FLOW_APP)
    clients.use(
        fly=partial(FlyClient, transport=httpx.MockTransport(found)), registry=full_registry
    )
    monkeypatch.setenv("FLY_API_TOKEN", "fm2_token")
    monkeypatch.setenv(AUTH_SECRET, LOGIN)
    with stamina.set_testing(True, attempts=2, cap=True):
        yield found


@pytest.fixture(autouse=True)
def prefect(monkeypatch, clients, fly):
    """The Prefect server, where the newest version of the flow server is online."""

    def online():
        machines = fly.apps[FLOW_APP].machines.values()
        return next((machine["instance_id"] for machine in machines), "")

    found = FlowPrefect(online)
    clients.use(prefect=opens(found))
    monkeypatch.setattr(gate, "WATCH_S", 0.01)
    return found


class Story(PullRequestJobs):
    """A repository on GitHub with a server and a flow server, and the jobs of its workflows."""

    name = NAME

    def write(self, *parts, **fields):
        """Write the environment, with its flow server."""
        return self.repository.write(NAME, WITH_FLOWS, *parts, **fields)

    def code(self, text):
        """Change the code of the flow server."""
        (self.repository.folder / "flows/nightly/serve_flows.py").write_text(text)


@pytest.fixture
def story(tmp_path, repository, job, fly, monkeypatch):  # noqa: ARG001 - stands behind the jobs
    """A repository whose server is deployed, and that has no flow server yet."""
    with FakeGitHub() as github:
        monkeypatch.setenv("GITHUB_API_URL", github.url)
        monkeypatch.setenv("GITHUB_TOKEN", github.token)
        monkeypatch.setenv("GITHUB_EVENT_PATH", str(tmp_path / "event"))
        repository.connect(github.state.git.path)
        found = Story(github, repository, job, tmp_path, monkeypatch.setenv)
        repository.write(NAME, app=APP)
        found.push()
        assert found.deploy()[0].code == 0
        write_flow_folder(repository.folder)
        yield found


@pytest.fixture
def deployed(story):
    """The same with the flow server deployed by a push."""
    story.write()
    story.push()
    said, _ = story.deploy()
    assert said.code == 0, said.err
    return story


# Plan, comment, deploy


def test_a_pull_request_that_adds_a_flow_server_shows_both_and_its_merge_deploys_it(story, fly):
    story.write(LARGER)
    said = story.plan()
    documents = sorted(path.name for path in story.plans.iterdir())
    before = len(fly.order)
    story.merge()
    done, outcome = story.deploy()

    assert said.code == 0, said.err
    assert documents == [f"{NAME}.json", f"{UNIT}.json"]
    assert f"### `{NAME}`" in story.comment
    assert f"### `{UNIT}`" in story.comment
    assert sorted(read_marker(story.comment).approved) == [NAME, UNIT]
    assert (done.code, outcome["outcome"], outcome["left"]) == (0, "deployed", []), done.err
    assert list(dict.fromkeys(fly.order[before:])) == [APP, FLOW_APP]
    assert fly.apps[FLOW_APP].secrets == {CLIENT_LOGIN: LOGIN}


def test_a_change_of_code_alone_is_planned_for_the_flow_server_alone(deployed, fly):
    deployed.code("print(2)\n")
    deployed.plan()
    server, before = list(fly.apps[APP].changes), len(fly.apps[FLOW_APP].changes)
    deployed.merge()
    said, outcome = deployed.deploy()

    assert (said.code, outcome["outcome"]) == (0, "deployed"), said.err
    assert fly.apps[APP].changes == server
    assert len(fly.apps[FLOW_APP].changes) > before


def test_no_value_of_a_secret_is_in_a_plan_a_comment_an_outcome_or_what_is_said(
    story, summary, monkeypatch
):
    monkeypatch.setenv("HOOK", "hunter2-of-the-flows")
    story.write(flows=[{**NIGHTLY, "secrets": ["HOOK"]}])
    said = story.plan()
    story.merge()
    done, outcome = story.deploy()

    told = [said.out, said.err, done.out, done.err, story.comment, summary(), json.dumps(outcome)]
    told += [path.read_text() for path in story.plans.iterdir()]
    assert done.code == 0, done.err
    for text in told:
        assert "hunter2" not in text
        assert LOGIN not in text
        assert "s3cret" not in text


# What was not approved


def test_code_that_came_after_the_plan_is_not_deployed_and_nor_is_the_server(deployed, fly):
    """The plan of the server was approved; the flow server's is of another commit, so nothing changes."""
    deployed.write(LARGER)
    deployed.plan()
    before = fly.changes
    deployed.code("print('mallory')\n")
    deployed.push("change")
    deployed.merge()

    said, outcome = deployed.deploy()

    assert (said.code, outcome["word"]) == (1, "not-planned")
    assert fly.changes == before


def test_a_flow_server_that_the_comment_does_not_show_holds_back_its_server(deployed, fly):
    """One job applies all of an environment or nothing, so its sentence that nothing changed is true."""
    deployed.write(LARGER)
    deployed.code("print(2)\n")
    deployed.plan()
    [comment] = deployed.github.comments(deployed.pull.number)
    head, _, rest = comment.body.partition(f"### `{UNIT}`")
    deployed.github.state.all_comments[comment.id].body = head
    assert rest
    deployed.merge()
    before = fly.changes

    said, outcome = deployed.deploy()

    assert (said.code, outcome["outcome"], outcome["word"]) == (1, "refused", "plan-changed")
    assert "Nothing was changed" in outcome["message"]
    assert f"run the deploy workflow for {NAME} with the digest" in " ".join(said.err.split())
    assert fly.changes == before


def test_rows_of_the_server_do_not_approve_the_same_rows_of_the_flow_server(deployed, fly):
    """Each section approves its own environment, whatever rows are copied into another one."""
    deployed.code("print(2)\n")
    deployed.plan()
    [comment] = deployed.github.comments(deployed.pull.number)
    body = comment.body.replace(f"### `{UNIT}`", f"### `{NAME}`")
    deployed.github.state.all_comments[comment.id].body = body
    deployed.merge()
    before = fly.changes

    said, outcome = deployed.deploy()

    assert (said.code, outcome["word"]) == (1, "plan-changed")
    assert fly.changes == before


def test_a_forged_plan_of_a_flow_server_is_not_shown_and_approves_nothing(deployed):
    deployed.code("print(2)\n")
    deployed.plan()
    path = deployed.plans / f"{UNIT}.json"
    forged = json.loads(path.read_text())
    forged["steps"][0]["summary"] = "nothing at all"
    path.write_text(json.dumps(forged))

    said = deployed.tell()

    assert said.code == 1
    assert f"Ignored, because the job Plan did not write them: {UNIT}.json" in said.out
    assert "nothing at all" not in deployed.comment
    assert sorted(read_marker(deployed.comment).approved) == [NAME]


def test_a_plan_of_a_flow_server_that_the_job_plan_never_wrote_is_a_stranger(deployed):
    deployed.code("print(2)\n")
    deployed.plan()
    document = json.loads((deployed.plans / f"{UNIT}.json").read_text())
    other = {**document, "environment": "prefect.hourly"}
    (deployed.plans / "prefect.hourly.json").write_text(json.dumps(other))

    said = deployed.tell()

    assert said.code == 1
    assert "prefect.hourly" not in deployed.comment


# By the digest


def digests(story):
    """Return the digest of each plan that the job Plan wrote."""
    return {
        path.stem: json.loads(path.read_text())["digest"] for path in story.plans.glob("*.json")
    }


def test_a_digest_applies_its_plan_alone_says_what_is_left_and_records_no_deployment(deployed, fly):
    deployed.write(LARGER)
    deployed.code("print(2)\n")
    deployed.plan()
    found = digests(deployed)
    deployed.merge()
    server = list(fly.apps[APP].changes)
    records = len(deployed.github.state.deployments)

    said, outcome = deployed.by_hand("--digest", found[UNIT])

    assert (said.code, outcome["outcome"], outcome["left"]) == (0, "deployed", [NAME]), said.err
    assert f"{NAME} stays as it is" in outcome["message"]
    assert found[NAME] in outcome["message"]
    assert fly.apps[APP].changes == server
    assert len(deployed.github.state.deployments) == records

    said, outcome = deployed.by_hand("--digest", found[NAME])

    assert (said.code, outcome["outcome"], outcome["left"]) == (0, "deployed", []), said.err
    assert len(deployed.github.state.deployments) == records + 1


def test_a_digest_of_no_plan_applies_nothing(deployed, fly):
    deployed.write(LARGER)
    deployed.code("print(2)\n")
    deployed.push()
    before = fly.changes

    said, outcome = deployed.by_hand("--digest", "0" * 64)

    assert (said.code, outcome["word"]) == (1, "plan-changed")
    assert fly.changes == before


# Superseded, and cut short


def test_a_newer_commit_of_the_flows_alone_supersedes_the_whole_environment(deployed, fly):
    deployed.write(LARGER)
    old = deployed.push()
    deployed.code("print(3)\n")
    deployed.push()
    deployed.repository.git("checkout", "--quiet", "--detach", old)
    deployed.env("GITHUB_SHA", old)
    before = fly.changes

    said, outcome = deployed.deploy()

    assert (said.code, outcome["outcome"]) == (0, "superseded"), said.err
    assert "flows/nightly/serve_flows.py" in outcome["message"]
    assert fly.changes == before


def test_a_newer_commit_that_comes_during_the_server_s_apply_gets_the_flow_server(
    deployed, fly, monkeypatch
):
    deployed.write(LARGER)
    deployed.code("print(2)\n")
    old = deployed.push()
    applied = deploy.apply_planned

    async def apply_and_push(*arguments):
        results = await applied(*arguments)
        deployed.code("print(3)\n")
        deployed.repository.push("main", deployed.repository.commit())
        deployed.repository.git("checkout", "--quiet", "--detach", old)
        return results

    monkeypatch.setattr(deploy, "apply_planned", apply_and_push)
    before = list(fly.apps[FLOW_APP].changes)

    _, outcome = deployed.deploy()

    assert outcome["outcome"] == "superseded"
    assert outcome["message"].startswith(f"{NAME} was deployed before this: ")
    assert "The run of that commit deploys what is left." in outcome["message"]
    assert "Nothing was changed" not in outcome["message"]
    assert fly.apps[FLOW_APP].changes == before


def test_a_flow_server_that_fails_its_gate_is_an_outcome_that_says_what_was_deployed(
    deployed, prefect
):
    deployed.write(LARGER)
    deployed.code("print(2)\n")
    deployed.push()
    prefect.canary = "FAILED"

    said, outcome = deployed.deploy()

    assert said.code != 0
    assert outcome["outcome"] in {"rolled-back", "not-rolled-back"}
    assert outcome["message"].startswith(f"{NAME} was deployed before this: {UNIT}")


# Secrets


def test_the_button_secrets_gives_a_new_login_to_the_server_and_its_flow_servers(
    deployed, fly, monkeypatch, prefect
):
    """A flow server with the former login could no longer reach its server."""
    monkeypatch.setenv(AUTH_SECRET, "admin:another")
    prefect.login = "admin:another"
    deployed.env("GITHUB_EVENT_NAME", "workflow_dispatch")

    said = deployed.job("github", "secrets", NAME)

    assert said.code == 0, said.err
    assert f"{NAME}: set {AUTH_SECRET}" in said.out
    assert f"{UNIT}: set {CLIENT_LOGIN}" in said.out
    assert fly.apps[FLOW_APP].secrets == {CLIENT_LOGIN: "admin:another"}


def test_secrets_by_hand_sets_and_shows_those_of_the_flow_servers_too(
    deployed, fly, monkeypatch, prefect
):
    monkeypatch.setenv(AUTH_SECRET, "admin:another")
    prefect.login = "admin:another"

    before = deployed.job("secrets", NAME, "--exit-code")
    said = deployed.job("secrets", NAME, "--set", "--json")
    after = deployed.job("secrets", NAME, "--exit-code")

    assert (before.code, after.code) == (2, 0)
    assert said.code == 0, said.err
    document = json.loads(said.out)
    assert [each["environment"] for each in (document, *document["flows"])] == [NAME, UNIT]
    assert fly.apps[FLOW_APP].secrets == {CLIENT_LOGIN: "admin:another"}
    assert CLIENT_LOGIN in after.out


def test_new_secrets_wake_a_sleeping_flow_server_for_its_gate(deployed, fly, monkeypatch, prefect):
    """Nothing else would prove it with them: no command wakes a flow server."""
    [machine] = fly.apps[FLOW_APP].machines.values()
    machine["state"] = "suspended"
    monkeypatch.setenv(AUTH_SECRET, "admin:another")
    prefect.login = "admin:another"

    said = deployed.job("apply", UNIT)

    assert said.code == 0, said.err
    assert "canary run" in said.err
    assert "unproved" not in deployed.job("releases", UNIT).out


def test_a_flow_server_is_not_applied_before_its_server(story, fly):
    story.write()
    del fly.apps[APP]

    said = story.job("apply", UNIT)

    assert said.code != 0
    assert f"Its Prefect server {APP} does not exist yet" in said.err
    assert f"apply {NAME}" in said.err
    assert fly.changes == []


def test_a_server_is_not_rolled_back_below_the_prefect_of_a_flow_server(deployed, fly):
    """The flow server could not come online, and nothing would say so."""
    deployed.repository.write(NAME, WITH_FLOWS, app=APP, machine={"memory_mb": 1024})
    deployed.push()
    assert deployed.deploy()[0].code == 0
    [machine] = fly.apps[FLOW_APP].machines.values()
    machine["config"]["metadata"][VERSION_KEY] = "client 99.1.0"
    before = fly.changes

    said = deployed.job("rollback", NAME)

    assert said.code != 0
    assert f"{UNIT} runs Prefect 99.1.0, which is newer than" in said.err
    assert f"rollback {UNIT}" in said.err
    assert fly.changes == before


def test_a_push_gives_no_changed_value_of_a_protected_environment_to_a_flow_server(
    story, fly, monkeypatch
):
    """Anybody with write access can overwrite it in GitHub, and no comment shows a value."""
    monkeypatch.setenv("HOOK", "one")
    story.write(flows=[{**NIGHTLY, "secrets": ["HOOK"]}], protected=True)
    story.plan()
    story.merge()
    assert story.deploy("--strict")[0].code == 0
    monkeypatch.setenv("HOOK", "two")
    story.repository.git("fetch", "--quiet", "origin", "main")
    story.repository.git("reset", "--quiet", "--hard", "FETCH_HEAD")
    story.code("print(2)\n")
    story.pull = None
    story.plan()
    story.merge()
    before = fly.changes

    said, outcome = story.deploy("--strict")

    assert (said.code, outcome["word"]) == (1, "plan-changed")
    assert "secret/HOOK: its value in GitHub is not the one" in outcome["message"]
    assert f"run the workflow Secrets for {NAME}," in outcome["message"]
    assert fly.changes == before


def test_secrets_leaves_all_to_deploy_where_a_flow_server_has_more_to_change(
    deployed, fly, monkeypatch
):
    monkeypatch.setenv(AUTH_SECRET, "admin:another")
    deployed.code("print(2)\n")
    deployed.push()
    before = fly.changes

    said = deployed.job("github", "secrets", NAME)

    assert (said.code, fly.changes) == (0, before)
    assert f"{UNIT}: There is more to change than secrets" in said.out
