"""A file of Prefect's objects on GitHub: planned without a login, approved by a merge, applied by the deploy."""

from __future__ import annotations

import json
from functools import partial

import httpx
import pytest
import stamina
import yaml

from helpers.deploy_jobs import PullRequestJobs
from helpers.fake_fly import FakeFly
from helpers.fake_github import FakeGitHub
from helpers.fake_objects import WEBHOOK
from helpers.fake_prefect import LOGIN
from helpers.fake_registry import full_registry
from roost.environment.model import AUTH_SECRET
from roost.fly.client import FlyClient

NAME, PATH = "prefect", "prefect/shared.yaml"
POOL = {"name": "etl", "type": "process", "concurrency_limit": 2}
BLOCK = {"name": "ops", "type": WEBHOOK, "data": {"url": {"secret": "HOOK"}}}
OBJECTS = {"work_pools": [POOL], "blocks": [BLOCK]}
VALUE = "https://hooks.example/T0/hunter2"


class Story(PullRequestJobs):
    """A repository with an environment and its file of objects."""

    name = NAME

    def write(self, objects, **fields):
        """Write the environment and the objects."""
        path = self.repository.folder / PATH
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(objects))
        prefect = {"objects": PATH, "object_secrets": ["HOOK"]}
        self.repository.write(NAME, {"prefect": prefect}, app="acme-server", **fields)


@pytest.fixture
def fly(monkeypatch, clients, job):  # noqa: ARG001 - it clears the variables first
    """A Fly with nothing on it."""
    found = FakeFly("acme-server")
    clients.use(
        fly=partial(FlyClient, transport=httpx.MockTransport(found)), registry=full_registry
    )
    monkeypatch.setenv("FLY_API_TOKEN", "fm2_token")
    monkeypatch.setenv(AUTH_SECRET, LOGIN)
    monkeypatch.setenv("HOOK", VALUE)
    with stamina.set_testing(True, attempts=2, cap=True):
        yield found


@pytest.fixture
def deployed(tmp_path, repository, job, fly, prefect, monkeypatch):  # noqa: ARG001 - both stand behind the jobs
    """A repository whose server is deployed with its objects."""
    with FakeGitHub() as github:
        monkeypatch.setenv("GITHUB_API_URL", github.url)
        monkeypatch.setenv("GITHUB_TOKEN", github.token)
        monkeypatch.setenv("GITHUB_EVENT_PATH", str(tmp_path / "event"))
        repository.connect(github.state.git.path)
        found = Story(github, repository, job, tmp_path, monkeypatch.setenv)
        found.write(OBJECTS)
        found.push()
        said, _ = found.deploy()
        assert said.code == 0, said.err
        yield found


def larger(**fields):
    """Return the objects with fields of the work pool changed."""
    return {**OBJECTS, "work_pools": [{**POOL, **fields}]}


def test_a_change_of_the_file_alone_is_shown_approved_by_the_merge_and_applied(
    deployed, prefect, monkeypatch
):
    deployed.write(larger(concurrency_limit=7))
    for secret in (AUTH_SECRET, "HOOK"):  # a pull request has no values
        monkeypatch.delenv(secret)
    prefect.asked.clear()
    said = deployed.plan()

    assert said.code == 0, said.err
    assert prefect.asked == []
    assert "`work_pools/etl.concurrency_limit`: `2` \u2192 `7`" in deployed.comment

    monkeypatch.setenv(AUTH_SECRET, LOGIN)
    monkeypatch.setenv("HOOK", VALUE)
    deployed.merge()
    done, outcome = deployed.deploy()
    assert (done.code, outcome["outcome"]) == (0, "deployed"), done.err
    assert outcome["unproved"] is False  # the server was asked for each object
    assert prefect.objects.fields("work_pools", "etl")["concurrency_limit"] == 7
    told = [done.out, done.err, deployed.comment, json.dumps(outcome)]
    assert not [text for text in told if "hunter2" in text]


def test_other_entries_than_the_merge_showed_are_not_applied(deployed, prefect):
    deployed.write(larger(concurrency_limit=7))
    deployed.plan()
    deployed.merge()
    deployed.write(larger(concurrency_limit=9))

    said, outcome = deployed.deploy()

    assert (said.code, outcome["word"]) == (1, "plan-changed")
    assert prefect.objects.fields("work_pools", "etl")["concurrency_limit"] == 2


def test_a_rotated_secret_of_a_block_is_covered_by_the_source_that_the_comment_shows(
    deployed, prefect, monkeypatch
):
    deployed.write(OBJECTS, machine={"memory_mb": 1024})
    monkeypatch.delenv("HOOK")
    deployed.plan()
    deployed.merge()
    monkeypatch.setenv("HOOK", "https://hooks.example/T0/hunter3")

    said, _ = deployed.deploy()

    assert said.code == 0, said.err
    block = prefect.objects.fields("block_documents", f"{WEBHOOK}/ops")
    assert block["data"]["url"].endswith("hunter3")


def test_a_value_that_nobody_reviewed_does_not_reach_a_protected_server(
    deployed, prefect, monkeypatch
):
    deployed.write(OBJECTS, protected=True, machine={"memory_mb": 1024})
    monkeypatch.delenv("HOOK")
    deployed.plan()
    deployed.merge()
    monkeypatch.setenv("HOOK", "https://evil.example/T0/hunter3")

    said, outcome = deployed.deploy()

    assert said.code == 1
    assert "secret/HOOK: its value in GitHub is not the one that the last apply set" in outcome["message"]  # fmt: skip
    block = prefect.objects.fields("block_documents", f"{WEBHOOK}/ops")
    assert block["data"]["url"] == VALUE


def test_a_newer_commit_of_the_file_alone_supersedes_the_environment(deployed, prefect):
    deployed.write(OBJECTS, machine={"memory_mb": 1024})
    old = deployed.push()
    deployed.write(larger(concurrency_limit=7), machine={"memory_mb": 1024})
    deployed.push()
    deployed.repository.git("checkout", "--quiet", "--detach", old)
    deployed.env("GITHUB_SHA", old)

    said, outcome = deployed.deploy()

    assert (said.code, outcome["outcome"]) == (0, "superseded"), said.err
    assert PATH in outcome["message"]
    assert prefect.objects.fields("work_pools", "etl")["concurrency_limit"] == 2


def test_a_refused_entry_fails_the_deploy_with_prefect_s_words(deployed):
    deployed.write(larger(description="bad"))
    deployed.plan()
    deployed.merge()

    said, outcome = deployed.deploy()

    assert (said.code, outcome["word"]) == (1, "prefect-objects")
    assert "work_pools/etl: value: is bad" in outcome["message"]
