"""Files that want the job's own credentials sent to the server, and sources that no comment showed.

What is looked for is looked for by the world itself, at the end of each test (see test_thieves.py).
"""

from __future__ import annotations

import pytest

from helpers.sops_files import age_key, encrypt
from roost.environment.model import AUTH_SECRET
from roost.report.comment import read_marker

pytestmark = pytest.mark.workflows

WANTED = ("SOPS_AGE_KEY", "FLY_API_TOKEN", "GITHUB_TOKEN", "ACTIONS_RUNTIME_TOKEN")
HOOK = "HOOK_URL"


def wanting(*variables):
    """Secrets that take each of these variables, and the login."""
    taken = [{"name": f"S{n}", "from": {"env": v}} for n, v in enumerate(variables)]
    return [AUTH_SECRET, *taken]


def from_sops(file):
    return [AUTH_SECRET, {"name": HOOK, "from": {"sops": file}}]


def on_fly(world, name):
    """The names of the secrets that an app has."""
    answer = world.fly.client.get(f"/v1/apps/{world.app(name)}/secrets")
    return {secret["name"] for secret in answer.json()["secrets"]}


@pytest.fixture
def deployed(world):
    """A server that runs, in a repository whose jobs hold a key of SOPS as well."""
    key = age_key()
    world.secrets["SOPS_AGE_KEY"] = key.private
    world.canaries.append(key.private)
    world.found(staging={})
    assert world.deploy_all().good
    return world


def test_a_file_that_names_the_job_s_own_credentials_is_red_at_each_line(deployed):
    """Nothing of it is planned or approved, and neither its merge nor a button sets anything."""
    world = deployed
    before = world.machine("staging")["instance_id"]
    world.branch("thief")
    world.write("staging", secrets=wanting(*WANTED))
    lines = (world.desk / "environments" / "staging.yaml").read_text().splitlines()

    number, runs = world.open_pull("A few hooks")

    run = runs["plan"]
    assert not run.good
    assert (run.jobs["validate"], run.jobs["changed"]) == ("failure", "failure")
    assert "plan" not in run.jobs
    marked = {
        int(found["line"]): found["message"] for found in run.annotations() if "line" in found
    }
    for variable in WANTED:
        [line] = [n for n, text in enumerate(lines, start=1) if text.endswith(f"env: {variable}")]
        assert marked[line].startswith(f"{variable} is ")
        assert "use a variable of your own, such as {name: S" in marked[line]
    assert list(world.github.comments(number)) == []

    merged = world.happens(world.merge(number))
    buttons = [
        world.press("deploy", environment="staging"),
        world.press("deploy", environment="staging", digest="0" * 64),
        world.press("secrets", environment="staging"),
        world.press("scale", environment="staging", memory_mb="1024", until="4h", reason="x"),
    ]

    assert not merged["deploy"].good
    assert not any(run.good for run in buttons)
    assert on_fly(world, "staging") == {AUTH_SECRET}
    assert world.machine("staging")["instance_id"] == before


@pytest.mark.parametrize("variable", WANTED)
def test_one_such_line_in_its_short_form_is_enough(deployed, variable):
    world = deployed
    world.write("staging", secrets=[AUTH_SECRET, variable])

    before = world.main
    runs = world.happens(world.push_event(before, world.push("Straight to main")))

    assert not runs["deploy"].good
    assert on_fly(world, "staging") == {AUTH_SECRET}


def test_an_environment_called_like_the_one_of_every_branch_is_deployed_by_nobody(world):
    """`plan` is GitHub's environment of the token that only reads; no branch rule stands before it."""
    world.found(staging={})
    world.branch("reserved")
    world.write("plan")

    number, runs = world.open_pull("A server")

    assert runs["plan"].jobs["validate"] == "failure"
    assert list(world.github.comments(number)) == []
    run = world.happens(world.merge(number))["deploy"]
    assert set(run.jobs) == {
        "changed",
        "notify",
    }  # the latter tells people, and holds no token of Fly
    assert not run.good
    assert not world.press("deploy", environment="plan").good
    assert world.machines("plan") == []


def test_a_source_that_the_comment_did_not_show_stops_the_deploy(world):
    """Two pull requests, one after the other: the second one's comment is of the sources before the first."""
    key = age_key()
    world.secrets["SOPS_AGE_KEY"] = key.private
    hooks = {name: f"https://hooks.example/canary-{name}-3Vb8" for name in ("one", "two")}
    world.canaries += [key.private, *hooks.values()]
    world.desk.mkdir(exist_ok=True)
    for name, value in hooks.items():
        encrypt(world.desk / f"{name}.sops.yaml", f"{HOOK}: {value}\n", key)
    world.found(staging={"secrets": from_sops("one.sops.yaml")})
    assert world.deploy_all().good

    world.branch("more-memory")
    world.write("staging", secrets=from_sops("one.sops.yaml"), machine={"memory_mb": 1024})
    number, _ = world.open_pull("More memory")
    assert f"`{HOOK}` from `sops one.sops.yaml`" in world.comment(number)

    world.branch("another-file")
    world.write("staging", secrets=from_sops("two.sops.yaml"))
    world.push("Another file", "another-file")
    world.merge(
        world.add_pull("Another file", "another-file")
    )  # and the next one overtakes its run
    run = world.happens(world.merge(number), "deploy")["deploy"]

    assert not run.good
    outcome = run.artifact("deploy-staging")
    assert outcome["word"] == "plan-changed"
    assert f"secret/{HOOK}: take it from sops two.sops.yaml" in outcome["message"]
    assert world.sees_hook("staging", hooks["one"])
    assert world.machine("staging")["config"]["guest"]["memory_mb"] == 512

    # A person who reads the plan in the run's summary lets it through by its digest.
    assert (
        f"{HOOK.replace('_', '&#95;')} (its value changed, from sops two.sops.yaml)" in run.summary
    )
    right = world.press("deploy", environment="staging", digest=outcome["digest"])
    assert right.good, right
    assert world.sees_hook("staging", hooks["two"])


def test_a_source_that_the_comment_showed_is_applied(world):
    """The comment of a change of nothing but the source shows it, and its merge takes it."""
    key = age_key()
    world.secrets["SOPS_AGE_KEY"] = key.private
    hooks = {name: f"https://hooks.example/canary-{name}-6Dn2" for name in ("one", "two")}
    world.canaries += [key.private, *hooks.values()]
    world.desk.mkdir(exist_ok=True)
    for name, value in hooks.items():
        encrypt(world.desk / f"{name}.sops.yaml", f"{HOOK}: {value}\n", key)
    world.found(staging={"secrets": from_sops("one.sops.yaml")})
    assert world.deploy_all().good

    world.branch("another-file")
    world.write("staging", secrets=from_sops("two.sops.yaml"))
    number, _ = world.open_pull("Another file")
    shown = world.comment(number)
    assert f"`{HOOK}` from `sops two.sops.yaml`" in shown
    assert "comes from sops two.sops.yaml now. It came from sops one.sops.yaml." in shown
    marker = read_marker(shown)
    assert marker
    assert len(marker.approved["staging"].secrets) == 2
    assert world.happens(world.merge(number), "deploy")["deploy"].good

    assert world.sees_hook("staging", hooks["two"])
