"""What must hold of .github and cannot be run here: triggers, permissions, secrets, queues, pins.

What the workflows do is run for real in `tests/workflows`; act, which runs them there, ignores all of this.
"""

from __future__ import annotations

import json
import os
import re
import subprocess

import pytest
import typer.main
import yaml

from helpers.workflow_files import ROOT, Step, calls, matches, workflows
from roost.cli.app import app
from roost.environment.bucket import BUCKET_SECRETS
from roost.environment.load import environment_names, load_environment
from roost.report.setup import APP_KEY, PULL_REQUESTS
from roost.workflows.permit import HARMLESS

WORKFLOWS = {workflow.file: workflow for workflow in workflows()}
JOBS = [job for workflow in WORKFLOWS.values() for job in workflow.jobs]
ACTION = yaml.safe_load((ROOT / ".github/actions/setup/action.yml").read_text())
STEPS = [step for job in JOBS for step in job.steps]
STEPS += [Step(step, "setup", "action") for step in ACTION["runs"]["steps"]]
TOKEN = "FLY_API_TOKEN"
# The one GitHub environment that is no server: its token reads Fly, and changes nothing.
READ_ONLY = "plan"
# Those that are no server's.
READING = {READ_ONLY, "pull-requests", "notify", "${{ matrix.environment }}.backup"}
DEPLOYING = [job for job in JOBS if TOKEN in job.secrets and job.environment != READ_ONLY]
# Jobs whose code or files are those of a pull request.
OF_PULL_REQUESTS = [job for job in JOBS if job.workflow in {"checks.yml", "plan.yml"}]
EDITED = "github.event.action == 'edited' && !github.event.changes.base.ref.from"
SAME_REPOSITORY = "github.event.pull_request.head.repo.full_name == github.repository"
# Inputs as a person gives them, by the variable that carries each; the rest stays empty.
NEEDED = {
    "ENVIRONMENT": "staging",
    "REASON": "a demo",
    "UNTIL": "4h",
    "CONFIRM": "acme-prefect-staging",
    "ACTION": "smoke",
    "RELEASE": '{"live": 3, "origin": 1, "commit": "", "setup": ""}',
}
OPTIONAL = {
    "BEFORE": "0" * 40,
    "DIGEST": "sha256:" + "0" * 64,
    "MIN_MACHINES_RUNNING": "0",
    "MEMORY_MB": "1024",
    "SIZE": "shared-cpu-2x",
    "COUNT": "1",
    "TO": "3",
    "FLOW_SERVER": "nightly",
    "APP": "roost-acme",
    "ENVIRONMENTS": '["staging"]',
    "REST": '["staging"]',
    "BASE": "HEAD^1",
    "STRICT": "yes",
    "SHA": "a" * 40,
    "URL": "https://acme-prefect.fly.dev",
}


def of(found):
    """Name a job or a step in a test's id."""
    return f"{found.workflow}:{getattr(found, 'name', '') or found.job}"


# What starts them


@pytest.mark.parametrize(
    ("event", "happening", "started"),
    [
        ("pull_request", {"kind": "opened"}, {"checks", "plan"}),
        ("pull_request", {"kind": "synchronize", "files": ["README.md"]}, {"checks", "plan"}),
        ("pull_request", {"kind": "edited"}, {"checks", "plan"}),
        ("pull_request", {"kind": "labeled"}, set()),
        ("pull_request", {"kind": "opened", "branch": "release"}, set()),
        ("merge_group", {"kind": "checks_requested"}, {"checks", "plan"}),
        ("push", {"files": ["environments/staging.yaml"]}, {"checks", "deploy"}),
        ("push", {"files": ["README.md"]}, {"checks", "deploy"}),
        ("push", {"files": ["production.sops.yaml"]}, {"checks", "deploy", "secrets"}),
        ("push", {"files": ["secrets/staging.sops.yaml"]}, {"checks", "deploy", "secrets"}),
        *(
            ("push", {"files": [f"a/production.sops.{form}"]}, {"checks", "deploy", "secrets"})
            for form in ("yml", "json", "env")
        ),
        # Whatever else a file may be kept in: the deploy compares what is in it.
        ("push", {"files": ["secrets/production.json"]}, {"checks", "deploy"}),
        ("push", {"branch": "feature", "files": ["environments/staging.yaml"]}, set()),
        ("schedule", {}, {"drift", "prefect", "tick", "update"}),
        ("push", {"tag": "v1.2.0"}, {"release"}),
        ("push", {"tag": "v1.2.0-rc1"}, set()),
        (
            "workflow_dispatch",
            {},
            {
                *("deploy", "destroy", "drift", "prefect", "rollback", "scale", "secrets"),
                *("server", "tick", "update"),
            },
        ),
    ],
)
def test_what_starts_which_workflow(event, happening, started):
    assert {w.file for w in WORKFLOWS.values() if w.starts(event, **happening)} == {
        f"{name}.yml" for name in started
    }


@pytest.mark.parametrize(
    ("patterns", "value", "expected"),
    [
        (["main"], "main", True),
        (["release/*"], "release/1", True),
        (["release/*"], "release/1/2", False),
        (["**"], "a/b", True),
        (["**.sops.yaml"], "a/b.sops.yaml", True),
        (["**/x.yaml"], "x.yaml", True),
        (["environments/**", "!environments/README.md"], "environments/README.md", False),
        (["!main", "main"], "main", True),
        (["v[0-9]+"], "v12", True),
        (["a.b"], "axb", False),
    ],
)
def test_filters_match_as_github_documents_them(patterns, value, expected):
    assert matches(patterns, value) is expected


def test_no_workflow_is_started_by_what_hands_a_stranger_our_secrets():
    started_by = {event for workflow in WORKFLOWS.values() for event in workflow.events}

    assert started_by <= {
        *("pull_request", "merge_group", "push", "schedule", "workflow_dispatch"),
    }


SCHEDULED = [w for w in WORKFLOWS.values() if "schedule" in w.events]


@pytest.mark.parametrize("workflow", SCHEDULED, ids=lambda workflow: workflow.file)
def test_a_schedule_keeps_away_from_the_full_hour(workflow):
    """GitHub is busiest then, and its other multiples of five minutes are what most people take."""
    for entry in workflow.events["schedule"]:
        first, _, rest = entry["cron"].split()[0].partition("-")
        last, _, step = rest.partition("/")
        minutes = range(int(first), int(last or first) + 1, int(step or 1))

        assert all(minute % 5 for minute in minutes)


def test_the_tick_runs_only_where_somebody_switched_it_on_and_with_nothing_but_the_token_that_reads():
    """A job that is skipped is billed nothing."""
    tick = WORKFLOWS["tick.yml"].job("tick")
    [step] = [step for step in tick.steps if step.run]

    assert tick.condition == "vars.ROOST_TICK == 'on'"
    # It has the token that changes nothing, and no login: what it does to a server is a request.
    assert tick.environment == READ_ONLY
    assert (set(tick.secrets), tick.permissions) == ({TOKEN}, {"contents": "read"})
    assert step.run == "./run roost tick --all"
    # Two at once would read the same times; the newest of those that wait is enough.
    assert tick.data["concurrency"] == {"group": "tick", "cancel-in-progress": "false"}


@pytest.mark.parametrize("name", ["checks", "plan"])
def test_the_required_job_runs_always_and_fails_with_any_other(name):
    """A path filter, or a job that is skipped, would leave a pull request waiting for ever."""
    workflow = WORKFLOWS[f"{name}.yml"]
    *others, last = workflow.jobs

    green = f"{workflow.data['name']} passed"
    assert last.data["name"] == f"${{{{ {EDITED} && 'Nothing to check' || '{green}' }}}}"
    assert last.condition == "always()"
    assert last.data["needs"] == [job.name for job in others]
    assert [(step.run, step.data["if"]) for step in last.steps] == [
        (
            "exit 1",
            "contains(needs.*.result, 'failure') || contains(needs.*.result, 'cancelled')",
        )
    ]
    assert not any("paths" in (filters or {}) for filters in workflow.events.values())


@pytest.mark.parametrize("name", ["checks", "plan"])
def test_an_edit_runs_what_another_base_branch_needs_and_else_nothing(name):
    """A title that changes must neither cancel a plan nor put a green check over one that failed."""
    workflow = WORKFLOWS[f"{name}.yml"]
    *others, _ = workflow.jobs
    roots = [job for job in others if "needs" not in job.data]

    assert workflow.data["concurrency"] == {
        "group": f"{name}-${{{{ {EDITED} && github.run_id || github.event.pull_request.number || github.ref }}}}",
        "cancel-in-progress": "true",
    }
    assert {job.condition for job in roots} == {
        "github.event.action != 'edited' || github.event.changes.base.ref.from"
    }
    # Where these are skipped, so is all that needs them: no condition runs a job after a skipped one.
    for job in others:
        assert job in roots or "always()" not in job.condition
        if "!cancelled()" in job.condition:
            assert "needs.changed.result == 'success'" in job.condition


def test_only_the_tool_s_own_checks_are_left_out_where_the_tool_stays_as_it_is():
    """Red or unknown is not light: only the very word `false` skips them."""
    checks = WORKFLOWS["checks.yml"]
    scope, settings, *heavy, _ = checks.jobs
    [_, step] = scope.steps

    assert {job.data["needs"] for job in (settings, *heavy)} == {scope.name}
    assert settings.condition == "needs.scope.outputs.all == 'false'"
    assert {job.condition for job in heavy} == {"needs.scope.outputs.all != 'false'"}
    assert {s.run for job in heavy for s in job.steps} >= {"./run lint", "./run tests"}
    assert scope.data["outputs"] == {"all": "${{ steps.scope.outputs.all }}"}
    # A push is compared with nothing, and so runs all.
    base = (
        "github.event.merge_group.base_sha || github.event_name == 'pull_request' && 'HEAD^1' || ''"
    )
    assert step.env == {"BASE": f"${{{{ {base} }}}}"}
    # What reads environment files and documentation runs then, too.
    [_, tests] = settings.steps
    assert tests.run == (
        "./run tests tests/unit/docs tests/unit/test_workflows.py tests/unit/report/test_comment.py"
    )
    assert all((ROOT / path).exists() for path in tests.run.split()[2:])


def test_a_run_of_dependabot_s_is_treated_as_one_of_a_fork():
    """It gets no secrets; what counts is who started the run, so a person's push to it is planned."""
    plan = WORKFLOWS["plan.yml"]

    for job in (plan.job("plan"), plan.job("comment")):
        assert job.condition.endswith(f"{SAME_REPOSITORY} && github.actor != 'dependabot[bot]'")


# What a person is asked


BUTTONS = [workflow for workflow in WORKFLOWS.values() if workflow.inputs]


@pytest.mark.parametrize("workflow", BUTTONS, ids=lambda workflow: workflow.file)
def test_every_input_has_a_type_and_says_what_it_is(workflow):
    for name, described in workflow.inputs.items():
        assert described["type"] in {"environment", "choice", "boolean", "string"}, name
        assert described["description"], name
        assert "required" in described or "default" in described, name


@pytest.mark.parametrize("workflow", BUTTONS, ids=lambda workflow: workflow.file)
def test_the_list_of_runs_tells_who_pressed_and_for_which_environment(workflow):
    for part in ("inputs.environment", "github.actor"):
        assert part in workflow.data["run-name"]


@pytest.mark.parametrize("workflow", BUTTONS, ids=lambda workflow: workflow.file)
def test_who_reviews_a_run_sees_what_was_asked_for_in_its_name(workflow):
    """GitHub shows a reviewer the name of a run that waits, and none of its inputs."""
    shown = set(re.findall(r"inputs\.(\w+)", workflow.data["run-name"]))

    # The app's name only has to be the right one.
    assert shown == set(workflow.inputs) - {"confirm"}


@pytest.mark.parametrize("workflow", BUTTONS, ids=lambda workflow: workflow.file)
def test_every_input_is_used_and_only_those_there_are(workflow):
    mentioned = set(re.findall(r"inputs\.(\w+)", workflow.text))

    assert mentioned == set(workflow.inputs)


def test_the_choices_of_a_button_are_checked_again():
    server = WORKFLOWS["server.yml"]
    options = json.dumps(server.inputs["action"]["options"])

    assert server.job("server").condition == f"contains(fromJSON('{options}'), inputs.action)"


def test_a_flow_server_that_is_destroyed_leaves_its_server_deployed():
    destroy = WORKFLOWS["destroy.yml"]
    [step] = [each for each in STEPS if " roost destroy " in each.run]

    assert step.run.endswith('-- "$ENVIRONMENT${FLOW_SERVER:+.$FLOW_SERVER}"')
    assert destroy.job("record").condition == "inputs.flow_server == ''"


# What they run


@pytest.mark.parametrize("step", [s for s in STEPS if s.run], ids=of)
def test_a_script_is_one_command_and_holds_no_expression(step):
    """What stands in `${{ }}` is pasted into the script before a shell reads it."""
    assert "${{" not in step.run
    assert len(step.run.splitlines()) == 1
    assert re.match(
        r"(test -z \"\$\(grep -lsF \w+ environments/\*\.y\*ml\)\" \|\| |sudo )?(trusted/|\./)run \w|(test \"\$\()?git -C head |\.ci/(packages|postgres-client)$|exit 1$",
        step.run,
    )


def test_every_script_is_run_by_bash():
    assert all(w.data["defaults"] == {"run": {"shell": "bash"}} for w in WORKFLOWS.values())
    assert all(step["shell"] == "bash" for step in ACTION["runs"]["steps"])


CALLING = [step for step in STEPS if " roost " in step.run and step.workflow != "setup"]


@pytest.mark.parametrize("values", [NEEDED, NEEDED | OPTIONAL], ids=["needed", "all"])
@pytest.mark.parametrize("step", CALLING, ids=of)
def test_every_line_is_one_that_the_command_line_takes(step, values, tmp_path):
    [[program, tool, *arguments]] = calls(step, tmp_path, values)

    assert (program in {"run", "trusted/run"}, tool) == (True, "roost")
    assert parsed(arguments)


@pytest.mark.parametrize("action", WORKFLOWS["server.yml"].inputs["action"]["options"])
def test_every_choice_of_the_server_s_button_is_a_verb(action, tmp_path):
    [step] = [s for s in CALLING if s.workflow == "server.yml" and TOKEN in s.env]
    [[_, _, *arguments]] = calls(step, tmp_path, NEEDED | {"ACTION": action})

    assert parsed(arguments) == (action, "staging")


# What a button asks for in another way: which of two jobs runs, and what only a terminal has.
ANSWERED_OTHERWISE = {"local", "as_json", "clear", "permanent", "opens"}


@pytest.mark.parametrize(
    ("step", "command", "not_of_it"),
    [
        (WORKFLOWS["scale.yml"].job("override").steps[-1], "scale", set()),
        (WORKFLOWS["scale.yml"].job("permanent").steps[-1], "github scale", {"until"}),
    ],
    ids=["override", "permanent"],
)
def test_the_scale_button_takes_the_options_of_the_command(step, command, not_of_it, tmp_path):
    """An option that only one of the two takes sends people from GitHub to a terminal."""
    options = dict(verbs_of(typer.main.get_command(app)))[command].params
    asked = set(WORKFLOWS["scale.yml"].inputs) - {"permanent"} - not_of_it
    [arguments] = calls(step, tmp_path, NEEDED | OPTIONAL)

    assert asked == {option.name for option in options} - ANSWERED_OTHERWISE
    assert {f"--{name.replace('_', '-')}" for name in asked - {"environment"}} <= set(arguments)


@pytest.mark.parametrize("evil", ['"; echo pwned; "', "$(touch pwned)", "--help", "-x", "a b"])
@pytest.mark.parametrize("step", CALLING, ids=of)
def test_no_input_is_ever_more_than_one_argument(step, evil, tmp_path):
    """However it is written, an input stays one argument, and the name of an environment no option."""
    [[_, _, *plain]] = calls(step, tmp_path, NEEDED | OPTIONAL)
    [[_, _, *arguments]] = calls(step, tmp_path, dict.fromkeys([*NEEDED, *OPTIONAL], evil))

    assert len(arguments) == len(plain)
    assert not (tmp_path / "pwned").exists()
    if "ENVIRONMENT" in step.env and "--environment" not in arguments:
        name = f"{evil}.{evil}" if "FLOW_SERVER" in step.env else evil
        assert arguments[-2:] == ["--", name]


def parsed(arguments):
    """Return the verb and its environment, as the real command line takes the arguments."""
    taken = []
    command = typer.main.get_command(app)
    for name, verb in verbs_of(command):
        verb.callback = lambda *_, name=name, **given: taken.append((name, given))
    command.main(arguments, prog_name="roost", standalone_mode=False)
    [(name, given)] = taken
    return name, given.get("environment") or given.get("target") or given.get("environments")


def verbs_of(group, prefix=""):
    """Find every verb below a group."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from verbs_of(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


SOPS = [step for step in STEPS if step.workflow == "setup" and " sops " in step.run]


@pytest.mark.parametrize(
    ("files", "brought"),
    [
        ({"environments/a.yaml": "secrets: [{name: X, from: {sops: a.sops.yaml}}]"}, True),
        ({"environments/a.yml": "secrets: [{name: X, from: {sops: secrets/prod.json}}]"}, True),
        ({"environments/_defaults.yaml": "secrets: [{name: X, from: {sops: .env}}]"}, True),
        ({"environments/a.yaml": "secrets: [{name: X, from: {env: X}}]"}, False),
        ({"environments/environment.schema.json": '{"sops": {}}', "a.sops.yaml": "sops: x"}, False),
        ({}, False),
    ],
)
def test_the_program_that_decrypts_is_brought_wherever_a_file_names_a_source_of_it(
    tmp_path, files, brought
):
    """By whatever name the source goes: what passes a review must not fail after the merge."""
    [step] = SOPS
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)

    called = [arguments for _, *arguments in calls(step, tmp_path, {})]

    assert called == ([["sops", "--version"]] if brought else [])


def test_only_who_holds_no_key_goes_without_the_program_that_decrypts():
    [step] = SOPS
    assert step.data["if"] == "inputs.sops == 'yes'"
    for job in JOBS:
        for found in (s for s in job.steps if s.uses.endswith(".github/actions/setup")):
            without = found.data.get("with", {}).get("sops") == "no"
            assert not (without and "SOPS_AGE_KEY" in job.secrets)


# Whose code they run


@pytest.mark.parametrize("step", [s for s in STEPS if s.uses], ids=of)
def test_every_action_is_ours_or_pinned_with_its_version_beside_it(step):
    if step.uses.startswith("./"):
        assert step.uses.removeprefix("./").removeprefix("trusted/") == ".github/actions/setup"
        return
    text = WORKFLOWS[step.workflow].text

    assert re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", step.uses)
    assert re.search(re.escape(step.uses) + r" # v\d+\.\d+\.\d+\n", text)


def test_an_action_has_the_same_version_everywhere():
    pins = {step.uses for step in STEPS if "@" in step.uses}

    assert len({pin.split("@")[0] for pin in pins}) == len(pins)


@pytest.mark.parametrize("job", JOBS, ids=of)
def test_no_checkout_leaves_its_token_behind(job):
    for step in job.steps:
        if step.uses.startswith("actions/checkout@"):
            assert step.data["with"]["persist-credentials"] == "false"


@pytest.mark.parametrize(
    "job", [job for job in OF_PULL_REQUESTS if job.secrets or "github.token" in str(job.data)]
)
def test_what_holds_a_token_in_a_pull_request_runs_the_base_branch_s_code(job):
    """The head is at most read: a pull request cannot edit what holds the token."""
    heads = [
        step.data["with"].get("path", ".")
        for step in job.steps
        if step.uses.startswith("actions/checkout@") and "ref" not in step.data["with"]
    ]
    bases = [
        (step.data["with"].get("path", "."), step.data["with"]["ref"])
        for step in job.steps
        if step.uses.startswith("actions/checkout@") and "ref" in step.data["with"]
    ]
    [(trusted, ref)] = bases
    place = "" if trusted == "." else f"{trusted}/"

    assert ref == "${{ needs.changed.outputs.base }}"
    assert set(heads) <= {"head"}
    assert SAME_REPOSITORY in job.condition
    assert {step.uses for step in job.steps if step.uses.startswith("./")} == {
        f"./{place}.github/actions/setup"
    }
    for step in job.steps:
        assert step.run.startswith((f"{trusted}/run roost", "")[not step.run])


def test_the_base_is_what_github_made_the_merge_from_and_no_code_of_the_head_says_so():
    """The event's own `base.sha` stays behind when main moves on: others' changes would seem this one's."""
    changed = WORKFLOWS["plan.yml"].job("changed")
    head, merge, into, base, trusted, *_ = changed.steps
    sha = "${{ github.event.merge_group.base_sha || steps.base.outputs.sha }}"

    assert head.data["with"] == {
        "path": "head",
        "persist-credentials": "false",
        "fetch-depth": "0",
    }
    # Of a commit that is no merge of GitHub's, the first parent may be anybody's.
    assert merge.run == """test "$(git -C head rev-parse 'HEAD^2')" = "$PULLED\""""
    assert merge.env == {"PULLED": "${{ github.event.pull_request.head.sha }}"}
    assert merge.data["if"] == "github.event_name == 'pull_request'"
    # Before somebody changed the base branch, the merge was into another one, with any code in it.
    assert into.run == """git -C head merge-base --is-ancestor 'HEAD^1' "origin/$BASE\""""
    assert (into.env, into.data["if"]) == ({"BASE": "${{ github.base_ref }}"}, merge.data["if"])
    assert (base.data["id"], base.run) == (
        "base",
        "git -C head log -1 --format=sha=%H 'HEAD^1' >> \"$GITHUB_OUTPUT\"",
    )
    assert trusted.data["with"]["ref"] == changed.data["outputs"]["base"] == sha
    assert {s.run for s in changed.steps} == {
        *("", merge.run, into.run, base.run, "trusted/run roost github changed --base trusted"),
    }
    assert "pull_request.base.sha" not in WORKFLOWS["plan.yml"].text


@pytest.mark.parametrize(("base", "good"), [("main", True), ("release", False)])
def test_a_merge_into_another_branch_than_the_base_is_refused(tmp_path, base, good):
    """As it may be just after somebody changed the base branch: that other branch may hold any code."""
    changed = WORKFLOWS["plan.yml"].job("changed")
    [step] = [step for step in changed.steps if "BASE" in step.env]
    origin, head = tmp_path / "origin", tmp_path / "head"
    script = f"""
        git init -q -b main {origin} && cd {origin}
        git commit -q --allow-empty -m main
        git switch -q -c release && git commit -q --allow-empty -m anything
        git switch -q -c change main && git commit -q --allow-empty -m change
        git switch -q --detach {base} && git merge -q --no-ff change
        git update-ref refs/pull/1/merge HEAD && git switch -q main
        git commit -q --allow-empty -m later
        git clone -q {origin} {head} && cd {head}
        git fetch -q origin refs/pull/1/merge && git checkout -q FETCH_HEAD
    """
    who = {
        f"GIT_{one}_{what}": "x@x" for one in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    env = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": "/dev/null", **who}
    subprocess.run(["bash", "-ec", script], env=env, check=True, capture_output=True)

    done = subprocess.run(
        ["bash", "-ec", step.run], cwd=tmp_path, env={**env, "BASE": "main"}, check=False
    )

    assert (done.returncode == 0) is good


def test_a_rehearsal_begins_where_the_merge_does():
    [base] = [
        step.data["with"]
        for step in WORKFLOWS["plan.yml"].job("rehearse").steps
        if step.data.get("with", {}).get("path") == "base"
    ]

    assert base["ref"] == "${{ needs.changed.outputs.base }}"


def test_the_job_that_plans_gives_the_head_s_files_to_the_base_s_code():
    [step] = [step for step in WORKFLOWS["plan.yml"].job("plan").steps if TOKEN in step.env]

    assert step.env["ROOST_ENVIRONMENTS"] == "${{ github.workspace }}/head/environments"
    assert step.env["ROOST_DEPLOY"] == "${{ github.workspace }}/head/deploy"


# What they may


@pytest.mark.parametrize("workflow", WORKFLOWS.values(), ids=lambda workflow: workflow.file)
def test_nothing_is_permitted_that_no_job_asks_for_with_a_reason(workflow):
    granted = re.findall(r"^ +[a-z-]+: (?:read|write)(.*)$", workflow.text, re.MULTILINE)

    assert workflow.data["permissions"] == {}
    assert all(re.fullmatch(r" # to \w.+", reason) for reason in granted)
    of_the_app = re.findall(r"^ +permission-[a-z-]+: ", workflow.text, re.MULTILINE)
    assert len(granted) == sum(len(job.permissions) for job in workflow.jobs) + len(of_the_app)


@pytest.mark.parametrize("job", JOBS, ids=of)
def test_every_job_has_a_limit_and_one_kind_of_runner(job):
    assert 0 < int(job.data["timeout-minutes"]) <= 60
    # A private server or database is reached by a runner of one's own; nothing of a pull request runs there.
    own = "${{ vars.ROOST_RUNNER || 'ubuntu-24.04' }}"
    reaches_servers = job in DEPLOYING or of(job) in {"tick.yml:tick", "drift.yml:backup"}
    assert job.data["runs-on"] == (own if reaches_servers else "ubuntu-24.04")
    assert "permissions" in job.data


MAY_WRITE = {
    "plan.yml:comment": {"pull-requests"},
    "deploy.yml:report": {"pull-requests", "deployments", "issues"},
    "rollback.yml:record": {"deployments"},
    "destroy.yml:record": {"deployments"},
    "scale.yml:permanent": {"contents"},
    "rollback.yml:revert": {"contents"},
    "release.yml:release": {"contents"},
    "update.yml:issue": {"issues"},
    "prefect.yml:propose": {"contents"},
    "prefect.yml:issue": {"issues"},
    "drift.yml:issues": {"issues"},
    "drift.yml:healed": {"issues"},
}


@pytest.mark.parametrize("job", JOBS, ids=of)
def test_who_may_write_to_github_holds_no_token_that_changes_a_server(job):
    may = {name for name, level in job.permissions.items() if level == "write"}

    assert may == MAY_WRITE.get(of(job), set())
    assert not (may and job in DEPLOYING)


def test_a_pull_request_s_job_that_may_write_holds_no_token_of_fly():
    assert not WORKFLOWS["plan.yml"].job("comment").secrets
    assert not WORKFLOWS["deploy.yml"].job("report").secrets


@pytest.mark.parametrize("job", JOBS, ids=of)
def test_who_may_write_to_git_holds_no_token_of_fly(job):
    """Not even the one that reads: what both are good for together nobody approved."""
    writes = job.permissions.get("contents") == "write" or APP_KEY in job.secrets

    assert not (writes and TOKEN in job.secrets)


OPENING = [job for job in JOBS if "create-github-app-token" in str(job.data)]


def test_the_jobs_that_open_pull_requests_as_the_app_are_these():
    assert {of(job) for job in OPENING} == {
        "scale.yml:permanent",
        "rollback.yml:revert",
        "prefect.yml:propose",
    }
    assert {of(job) for job in JOBS if APP_KEY in job.secrets} == {of(job) for job in OPENING}
    assert {of(job) for job in JOBS if job.environment == PULL_REQUESTS} == {
        of(job) for job in OPENING
    }


@pytest.mark.parametrize("job", OPENING, ids=of)
def test_the_key_of_the_app_is_given_to_the_one_step_that_makes_a_token_of_two_permissions(job):
    """Whoever has the key can approve pull requests as the App."""
    [step] = [step for step in job.steps if APP_KEY in str(step.data)]
    [line] = [step for step in job.steps if " roost " in step.run]

    assert step.uses.startswith("actions/create-github-app-token@")
    assert (step.data["id"], step.data["if"]) == ("app", "vars.ROOST_APP_ID != ''")
    assert step.data["with"] == {
        "client-id": "${{ vars.ROOST_APP_ID }}",
        "private-key": "${{ secrets.ROOST_APP_PRIVATE_KEY }}",
        "permission-contents": "write",
        "permission-pull-requests": "write",
    }
    assert line.env["GITHUB_TOKEN"] == "${{ steps.app.outputs.token || github.token }}"
    assert line.env["APP"] == "${{ steps.app.outputs.app-slug }}"
    # With the job's own token nothing is opened, however the repository is set up.
    assert "${APP:+--open}" in line.run
    # It records no deployment, as it deploys nothing.
    assert job.data["environment"] == {"name": PULL_REQUESTS, "deployment": "false"}


def test_what_a_rollback_hands_on_is_an_output_and_an_argument():
    rollback = WORKFLOWS["rollback.yml"]

    assert rollback.job("rollback").data["outputs"] == {
        name: f"${{{{ steps.rollback.outputs.{name} }}}}" for name in ("release", "sha", "url")
    }
    [line] = [step for step in rollback.job("revert").steps if " roost " in step.run]
    assert line.env["RELEASE"] == "${{ needs.rollback.outputs.release }}"
    assert '--release "$RELEASE"' in line.run


@pytest.mark.parametrize("job", JOBS, ids=of)
def test_secrets_are_given_by_a_github_environment_one_by_one_to_the_step_that_needs_them(job):
    in_steps = {
        name
        for step in job.steps
        for name in re.findall(r"secrets\.(\w+)", f"{step.env} {step.data.get('with', '')}")
    }

    assert bool(job.secrets) <= bool(job.environment)
    assert job.secrets == in_steps
    assert "secrets:" not in str(job.data.get("secrets", ""))
    assert not re.search(r"toJSON\(secrets|secrets\[", str(job.data), re.IGNORECASE)


@pytest.mark.parametrize("job", OF_PULL_REQUESTS, ids=of)
def test_a_pull_request_reaches_no_token_but_the_one_that_reads(job):
    assert job.environment in {"", READ_ONLY}
    assert (TOKEN in job.secrets) == (job.environment == READ_ONLY)


# Who changes an environment


@pytest.mark.parametrize("job", [job for job in JOBS if job.environment], ids=of)
def test_no_job_records_a_deployment_by_ending_well(job):
    """A smoke after a refused deploy would mark that commit as deployed, a rollback the bad one."""
    assert job.data["environment"] == {"name": job.environment, "deployment": "false"}


def test_the_jobs_that_record_deployments_hold_no_token_of_fly():
    may = [job for job in JOBS if job.permissions.get("deployments") == "write"]

    assert {of(j) for j in may} == {
        "deploy.yml:report",
        "rollback.yml:record",
        "destroy.yml:record",
    }
    assert not any(job.secrets or job.environment for job in may)
    # A rollback's record is of the release that is back, as the job that proved it says.
    [step] = [s for s in WORKFLOWS["rollback.yml"].job("record").steps if s.run]
    assert step.env["SHA"] == "${{ needs.rollback.outputs.sha }}"


def test_the_jobs_that_change_environments_are_these():
    assert {of(job) for job in DEPLOYING} == {
        *("deploy.yml:deploy", "deploy.yml:deploy-protected", "scale.yml:override"),
        *("rollback.yml:rollback", "destroy.yml:destroy", "server.yml:server"),
        *("secrets.yml:secrets", "drift.yml:heal", "drift.yml:end"),
    }


@pytest.mark.parametrize("job", DEPLOYING, ids=of)
def test_who_changes_an_environment_waits_in_its_one_line_and_is_never_dropped(job):
    assert job.environment in {"${{ inputs.environment }}", "${{ matrix.environment }}"}
    assert job.data["concurrency"] == {
        "group": f"env-{job.environment}",
        "cancel-in-progress": "false",
        "queue": "max",
    }


def test_deployments_of_the_whole_workflow_never_cancel_each_other():
    for job in DEPLOYING:
        found = WORKFLOWS[job.workflow].data.get("concurrency", {})
        assert found.get("cancel-in-progress", "false") == "false"


@pytest.mark.parametrize("workflow", WORKFLOWS.values(), ids=lambda workflow: workflow.file)
def test_no_queue_of_a_whole_workflow_is_held_by_a_job_that_may_wait_for_a_reviewer(workflow):
    """One approval that nobody gives would stop the workflow for all, unless the next run cancels it."""
    queue = workflow.data.get("concurrency")

    if queue is not None and queue["cancel-in-progress"] != "true":
        assert not [job.name for job in workflow.jobs if job.environment]


def test_drift_is_told_before_anybody_waits_and_by_one_run_at_a_time():
    drift = WORKFLOWS["drift.yml"]
    now, after = drift.job("issues"), drift.job("healed")

    assert now.data["needs"] == "look"
    assert after.data["needs"] == ["look", "issues", "heal", "end"]
    assert now.data["concurrency"] == after.data["concurrency"]
    for job, group in ((drift.job("look"), "drift-look"), (now, "drift-issues")):
        expected = {"group": group, "cancel-in-progress": "false", "queue": "max"}
        assert job.data["concurrency"] == expected


@pytest.mark.parametrize("job", DEPLOYING, ids=of)
def test_a_job_that_changes_an_environment_has_every_secret_that_a_file_may_need(job):
    """Add a secret to a file, and this names each job that has to hand it on."""
    folder = ROOT / "environments"
    declared = {
        secret.source.env
        for name in environment_names(folder)
        for secret in load_environment(name, folder).environment.secrets
        if secret.source.env
    }
    for step in job.steps:
        if " roost " in step.run and not re.search(r" (image|permit) ", step.run):
            expected = {*declared, TOKEN, "SOPS_AGE_KEY"}
            assert expected <= set(step.env)
            assert all(step.env[name] == f"${{{{ secrets.{name} }}}}" for name in expected)


@pytest.mark.parametrize("job", DEPLOYING, ids=of)
def test_who_started_the_run_is_asked_about_before_any_step_that_holds_a_token(job):
    """Everybody with write access may start a run, and GitHub offers reviewers on some plans only."""
    commands = [step for step in job.steps if step.run]
    permit, *others = commands
    named = {"inputs.environment": "inputs", "matrix.environment": "matrix"}
    [whose] = [given for name, given in named.items() if name in job.environment]

    assert re.match(r"\./run roost github permit ", permit.run)
    assert permit.env["ENVIRONMENT"] == f"${{{{ {whose}.environment }}}}" == job.environment
    assert permit.env["GITHUB_TOKEN"] == "${{ github.token }}"
    assert not {"if", "continue-on-error"} & set(permit.data)
    assert "secrets." not in str(permit.data)
    assert job.permissions["actions"] == "read"
    # What comes after it stops where it fails, unless a condition of its own says otherwise.
    holding = [step for step in others if "secrets." in str(step.data)]
    assert TOKEN in {name for step in holding for name in step.env}
    assert all("if" not in step.data for step in holding)


def test_every_job_that_a_person_can_start_and_that_reaches_a_server_is_one_of_those():
    """A button that is added later is asked about as well."""
    started = [j for j in JOBS if "workflow_dispatch" in WORKFLOWS[j.workflow].events]
    reaching = [j for j in started if j.environment and j.environment not in READING]

    assert {of(job) for job in reaching} == {of(job) for job in DEPLOYING}


@pytest.mark.parametrize(
    ("action", "free"), [("wake", True), ("smoke", True), ("sleep", False), ("backup", False)]
)
def test_the_server_s_button_says_what_it_is_about_to_do(action, free, tmp_path):
    [step] = [s for s in CALLING if s.workflow == "server.yml" and "permit" in s.run]
    [[_, _, *arguments]] = calls(step, tmp_path, NEEDED | {"ACTION": action})

    assert arguments == ["github", "permit", "--for", action, "--", "staging"]
    assert (action in HARMLESS) == free


def test_the_documented_table_says_what_a_writer_may_do_alone_on_a_protected_environment():
    lines = (ROOT / "docs/github.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "|" in line]
    alone = [row[0] for row in rows if row[1:] == ["writer", "writer", "writer"]]

    assert {verb for found in alone for verb in found.split(", ")} == HARMLESS


def test_protected_environments_are_deployed_as_the_others_are_and_after_them():
    deploy = WORKFLOWS["deploy.yml"].job("deploy")
    protected = WORKFLOWS["deploy.yml"].job("deploy-protected")
    own = {"name", "needs", "if", "strategy", "steps"}

    assert {k: v for k, v in deploy.data.items() if k not in own} == {
        k: v for k, v in protected.data.items() if k not in own
    }
    checkout, setup, permit, proved, *steps = protected.data["steps"]
    assert steps[0]["env"].pop("OPEN") == "${{ needs.changed.outputs.open }}"
    as_the_others = json.dumps([checkout, setup, permit, *steps]).replace(
        "--strict --after proved ", ""
    )
    assert json.loads(as_the_others) == deploy.data["steps"]
    assert proved["with"]["path"] == "proved"
    assert [step.run for step in protected.steps if "--strict" in step.run]
    assert deploy.name in protected.data["needs"]
    assert "needs.deploy.result == 'success'" in protected.condition


def test_secrets_of_protected_environments_are_set_strictly():
    secrets = WORKFLOWS["secrets.yml"].job("secrets")
    [step] = [step for step in secrets.steps if "github secrets" in step.run]

    assert "needs.changed.outputs.protected" in step.env["STRICT"]
    assert "${STRICT:+--strict}" in step.run
    assert secrets.permissions["pull-requests"] == "read"


def test_the_report_knows_all_that_were_to_be_deployed_and_comes_however_they_ended():
    """A job that is rejected, skipped or cut short leaves nothing from which it could know."""
    report = WORKFLOWS["deploy.yml"].job("report")
    [step] = [step for step in report.steps if "github report" in step.run]

    assert report.data["needs"] == ["changed", "deploy", "deploy-protected"]
    assert report.condition == "always() && needs.changed.outputs.any == 'true'"
    assert step.env["ENVIRONMENTS"] == "${{ needs.changed.outputs.environments }}"


@pytest.mark.parametrize("job", [j for j in JOBS if "strategy" in j.data], ids=of)
def test_one_environment_that_fails_stops_no_other_and_an_empty_list_is_never_a_matrix(job):
    assert job.data["strategy"]["fail-fast"] == "false"
    # Where the job that lists them failed there is no list; act wants one even then.
    assert job.data["strategy"]["matrix"]["environment"].endswith(" || '[]') }}")
    assert re.search(r"(!= '\[\]'|any == 'true')", job.condition)
    # `environments` is every one that changes, and may be longer than GitHub allows.
    assert "outputs.environments" not in job.data["strategy"]["matrix"]["environment"]


@pytest.mark.parametrize("name", ["heal", "end", "backup"])
def test_an_environment_that_could_not_be_looked_at_keeps_no_other_from_being_healed(name):
    """Without a status function GitHub skips a job whose `needs` failed."""
    job = WORKFLOWS["drift.yml"].job(name)

    assert job.condition.startswith("!cancelled() && ")
    assert f"needs.look.outputs.{name} && needs.look.outputs.{name} != '[]'" in job.condition


def test_what_is_downloaded_was_uploaded_by_the_same_workflow():
    for workflow in WORKFLOWS.values():
        steps = [step for job in workflow.jobs for step in job.steps]
        uploaded = [s.data["with"] for s in steps if "upload-artifact" in s.uses]
        downloaded = [s.data["with"] for s in steps if "download-artifact" in s.uses]
        stems = {given["name"].replace("${{ matrix.environment }}", "*") for given in uploaded}

        assert {given["pattern"] for given in downloaded} == stems
        assert all(given["merge-multiple"] == "true" for given in downloaded)
        # What came of the others is looked at beside a job's own results, which it uploads whole.
        places = {given["path"] for given in downloaded} - {"proved"}
        assert places == {given["path"] for given in uploaded}


# What keeps it so


def test_dependabot_keeps_the_pins_fresh_and_lets_others_try_first():
    found = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text())
    kinds = {update["package-ecosystem"]: update for update in found["updates"]}

    assert set(kinds) == {"github-actions", "pip"}
    assert all(update["cooldown"]["default-days"] >= 7 for update in kinds.values())
    assert kinds["pip"]["directory"] == "/requirements"


def test_the_jobs_that_send_messages_hold_the_addresses_and_hardly_a_right():
    """Nobody approves them, so another secret or right in one of them would be everybody's."""
    telling = [job for job in JOBS if job.environment == "notify"]
    reading = {"contents": "read"}
    of_github = {**reading, "actions": "read"}

    assert {(job.workflow, job.name): job.permissions for job in telling} == {
        ("deploy.yml", "waiting"): of_github,
        ("deploy.yml", "waiting-protected"): of_github,
        ("deploy.yml", "notify"): reading,
        ("drift.yml", "notify"): reading,
        ("drift.yml", "notify-healed"): reading,
    }
    assert all(job.secrets == {"NOTIFY_URL", "SOPS_AGE_KEY"} for job in telling)
    assert not [job.name for job in JOBS if "NOTIFY_URL" in job.secrets and job not in telling]


def test_the_scheduled_dumps_hold_what_they_need_and_wait_for_no_reviewer_of_a_server():
    job = WORKFLOWS["drift.yml"].job("backup")

    assert job.permissions == {"contents": "read"}
    assert job.secrets == {"DATABASE_URL", *BUCKET_SECRETS, "SOPS_AGE_KEY"}
    assert job.data["concurrency"]["group"] == "backup-${{ matrix.environment }}"
    assert [step.run for step in job.steps][-1] == './run roost backup -- "$ENVIRONMENT"'


def test_a_job_that_fails_before_there_is_anything_to_tell_is_told():
    job = next(j for j in JOBS if (j.workflow, j.name) == ("deploy.yml", "notify"))

    assert set(job.data["needs"]) == {"changed", "report"}
    assert "always()" in job.data["if"]
    assert "needs.changed.result == 'failure'" in job.data["if"]
    assert "needs.report.result == 'failure'" in job.data["if"]
