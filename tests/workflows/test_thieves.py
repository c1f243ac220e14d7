"""Pull requests and buttons that want the token: whatever they edit, they get nothing.

What is looked for is looked for by the world itself, at the end of each test, in clear and respelled: in logs,
summaries, annotations, outputs, artifacts, comments and git. act hides nothing here (`--insecure-secrets`).
"""

from __future__ import annotations

import pytest

from helpers.workflow_world import APP_KEY, DEPLOY_TOKEN, PLAN_TOKEN
from roost.environment.model import AUTH_SECRET
from roost.report.comment import read_marker

pytestmark = pytest.mark.workflows

# Prints all that it finds, in a spelling that no masking knows, and goes on as if nothing had been.
THIEF = r"""
import base64, os, pathlib, sys
print("STOLEN", base64.b64encode(repr(dict(os.environ)).encode()).decode(), file=sys.stderr)
process = os.getppid()
while process > 1:  # those of its own job: on GitHub no other job is on the same machine
    status = pathlib.Path(f"/proc/{process}/status").read_text()
    if status.startswith("Name:\tact\n"):
        break
    print("FOUND", pathlib.Path(f"/proc/{process}/environ").read_text()[::-1], file=sys.stderr)
    process = int(status.split("PPid:\t")[1].split("\n")[0])
"""
# Waits for the plan, and writes another one over it, and one of an environment that does not change; also under
# names that no job has.
FORGER = r"""
import json, os, pathlib, time
artifacts = pathlib.Path(os.environ["ARTIFACTS"])
real = artifacts / "plans" / "staging.json"
for _ in range(15000):
    try:
        plan = json.loads(real.read_text())
        break
    except (OSError, ValueError):  # not there yet, or not all of it
        time.sleep(0.1)
for step in plan["steps"]:
    step["summary"] = "nothing at all"
for folder in ("plans", "plan-zz", "plan-production"):
    (artifacts / folder).mkdir(exist_ok=True)
    for name in ("staging", "production"):
        forged = json.dumps({**plan, "environment": name})
        (artifacts / folder / f"{name}.json").write_text(forged)
print("FORGED")
"""
EVIL = '";env;"$(env>&2)`env`'


def test_a_pull_request_that_edits_the_planner_plans_with_the_old_one(world):
    """Its own code runs where there is no token, and only there."""
    world.found(staging={})
    world.branch("thief")
    world.write("staging", prefect={"settings": {"PREFECT_LOGGING_LEVEL": "DEBUG"}})
    for name in ("__init__", "workflows/plan", "workflows/comment", "commands/rehearse"):
        path = world.desk / "scripts" / "roost" / f"{name}.py"
        text = path.read_text()
        future = "from __future__ import annotations\n"
        head, found, rest = text.partition(future)
        path.write_text(f"{head}{found}{THIEF}{rest}" if found else text + THIEF)
    (world.desk / "run").write_text(
        (world.desk / "run").read_text().replace("set -eu\n", "set -eu\nenv >&2\n", 1)
    )

    number, runs = world.open_pull("Only a small clean-up")
    run = runs["plan"]

    assert "STOLEN" in run.log
    assert {job for job in run.jobs if "STOLEN" in run.log_of(job)} == {
        *("validate", "rehearse staging")
    }
    assert run.jobs["plan"] == "success"
    assert "create the machine app-1" in world.comment(number)


def test_a_rehearsal_that_puts_another_plan_in_the_place_of_the_real_one_approves_nothing(world):
    """Any job can leave any artifact: what stands in the comment is what the job that plans wrote."""
    world.found(staging={})
    world.branch("thief")
    world.write("staging", prefect={"settings": {"PREFECT_LOGGING_LEVEL": "DEBUG"}})
    path = world.desk / "scripts" / "roost" / "commands" / "rehearse.py"
    future = "from __future__ import annotations\n"
    path.write_text(path.read_text().replace(future, f"{future}{FORGER}", 1))

    number, runs = world.open_pull("Only a small clean-up")
    run = runs["plan"]

    assert "FORGED" in run.log_of("rehearse staging")
    assert (run.jobs["plan"], run.jobs["comment"]) == ("success", "failure")
    assert not run.good
    comment = world.comment(number)
    assert "The plan that the job Plan wrote is missing, or was changed." in comment
    assert "nothing at all" not in comment
    assert "production" not in comment
    assert read_marker(comment).approved == {}
    [told] = [found for found in run.annotations() if "Ignored" in found["message"]]
    assert "production.json, staging.json" in told["message"]


def test_an_environment_file_cannot_ask_for_the_token(world):
    """Not as a setting, not as a secret's value, not as a link, and not by being wrong in its shape."""
    world.found(staging={})
    world.branch("thief")
    world.write(
        "staging",
        prefect={
            "settings": {"PREFECT_UI_URL": "${FLY_API_TOKEN} $(env) ${{ secrets.FLY_API_TOKEN }}"}
        },
    )
    number, runs = world.open_pull("A title")
    assert runs["plan"].jobs["plan"] == "success"
    assert world.comment(number)

    world.write(
        "staging", secrets=[AUTH_SECRET, {"name": "HOOK_URL", "from": {"env": "FLY_API_TOKEN"}}]
    )
    runs = world.push_again(number)
    assert not runs["plan"].good
    assert "plan" not in runs["plan"].jobs

    (world.desk / "environments" / "staging.yaml").unlink()
    (world.desk / "environments" / "staging.yaml").symlink_to("/proc/self/environ")
    runs = world.push_again(number)
    assert not runs["plan"].good


@pytest.mark.parametrize("name", ["x;env;$(env>&2)", "x`env`", "x\"';env"])
def test_a_branch_is_never_more_than_a_name(world, name):
    world.found(staging={})
    world.branch(name)
    (world.desk / "NOTES.md").write_text("Only words.\n")

    _, runs = world.open_pull(f"{name} ::add-mask::x ::set-output name=any::true")

    assert runs["plan"].good
    assert "GITHUB_WORKSPACE=" not in runs["plan"].log


@pytest.mark.parametrize(
    ("workflow", "inputs"),
    [
        ("scale", {"reason": EVIL, "memory_mb": "1024", "until": "4h"}),
        ("scale", {"reason": "x", "memory_mb": EVIL, "until": EVIL, "count": EVIL}),
        ("deploy", {"digest": EVIL, "reason": EVIL}),
        ("rollback", {"reason": EVIL, "to": EVIL}),
        ("destroy", {"reason": EVIL, "confirm": EVIL}),
        ("secrets", {"environment": EVIL}),
        ("deploy", {"environment": "../../staging"}),
    ],
)
def test_an_input_is_never_more_than_a_value(world, workflow, inputs):
    world.found(staging={})

    run = world.press(workflow, **{"environment": "staging", **inputs})

    assert not run.good
    assert "GITHUB_WORKSPACE=" not in run.log


def test_what_is_searched_for_would_be_found(world):
    """The token is really there, in the job that may have it, and a print of it would be seen."""
    world.found(staging={})
    path = world.desk / "scripts" / "roost" / "__init__.py"
    path.write_text(path.read_text() + THIEF)
    world.push("Main itself is bad")

    run = world.press("deploy", environment="staging")

    assert DEPLOY_TOKEN[::-1] in run.everything()
    with pytest.raises(AssertionError):
        world.assert_no_secret_anywhere()
    world.runs.clear()
    assert PLAN_TOKEN not in run.everything()


def test_the_key_of_the_app_reaches_no_code_of_ours_and_its_token_no_job_with_another_one(world):
    """Were main itself bad, it would have the token of the App for an hour, and neither key nor Fly."""
    world.found(staging={})
    token = world.add_app()
    path = world.desk / "scripts" / "roost" / "__init__.py"
    path.write_text(path.read_text() + THIEF)
    world.push("Main itself is bad")

    run = world.press(
        "scale", environment="staging", reason="x", memory_mb="1024", permanent="true"
    )

    found = run.everything()
    assert token[::-1] in found
    for other in (APP_KEY, DEPLOY_TOKEN, PLAN_TOKEN):
        assert other not in found
        assert other[::-1] not in found
    world.runs.clear()
